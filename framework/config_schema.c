/* Every key of a study, once: type, default, range, readers, help. */
#include "framework/config.h"

#include <math.h>

#define SHARD (1u << STAGE_SHARD)
#define BACKBONE (1u << STAGE_BACKBONE)
#define EXTRACT (1u << STAGE_EXTRACT)
#define GENERATOR (1u << STAGE_GENERATOR)
#define EVALUATE (1u << STAGE_EVALUATE)
#define RUNNER 0u
#define BIG 1e15

#define KEY(name, type, fallback, low, high, choices, stages, help) \
    {name, type, fallback, low, high, choices, stages, help, sizeof(name) - 1}
#define BOOL(name, fallback, stages, help) KEY(name, CONFIG_BOOL, fallback, 0, 1, NULL, stages, help)
#define INTEGER(name, fallback, low, high, stages, help) KEY(name, CONFIG_INTEGER, fallback, low, high, NULL, stages, help)
#define REAL(name, fallback, low, high, stages, help) KEY(name, CONFIG_REAL, fallback, low, high, NULL, stages, help)
#define STRING(name, fallback, stages, help) KEY(name, CONFIG_STRING, fallback, 0, 0, NULL, stages, help)
#define DURATION(name, fallback, stages, help) KEY(name, CONFIG_DURATION, fallback, 0, BIG, NULL, stages, help)
#define BYTES(name, fallback, stages, help) KEY(name, CONFIG_BYTES, fallback, 0, BIG, NULL, stages, help)
#define PATH(name, stages, help) KEY(name, CONFIG_PATH, "", 0, 0, NULL, stages, help)
#define CHOICE(name, fallback, choices, stages, help) KEY(name, CONFIG_CHOICE, fallback, 0, 0, choices, stages, help)
#define INTEGERS(name, fallback, low, high, stages, help) \
    KEY(name, CONFIG_INTEGER_LIST, fallback, low, high, NULL, stages, help)
#define REALS(name, fallback, low, high, stages, help) KEY(name, CONFIG_REAL_LIST, fallback, low, high, NULL, stages, help)
#define STRINGS(name, fallback, stages, help) KEY(name, CONFIG_STRING_LIST, fallback, 0, 0, NULL, stages, help)

/* Of one stage; 0: as run.threads, run.ranks and so on say for all. */
#define RESOURCES(stage)                                                                                        \
    INTEGER("run." stage ".threads", "0", 0, 256, RUNNER, "threads of a rank of this stage; 0: run.threads"),      \
    INTEGER("run." stage ".ranks", "0", 0, 4096, RUNNER, "ranks of this stage; 0: run.ranks; the generator has one"),  \
    BYTES("run." stage ".memory", "0", RUNNER, "memory of a job of this stage; 0: run.memory"),                   \
    INTEGER("run." stage ".gpus", "-1", -1, 1024, RUNNER, "GPUs of a job of this stage; -1: run.gpus"),            \
    DURATION("run." stage ".time", "0", RUNNER, "time limit of this stage; 0: run.time")

#define SLURM_STAGE(stage) STRINGS("slurm." stage ".options", "", RUNNER, "more options of sbatch for this stage")

const ConfigKey CONFIG_SCHEMA[] = {
    INTEGER("seed", "0", 0, 4294967295.0, BACKBONE | GENERATOR, "seed of every random draw of a trial"),

    PATH("data.root", SHARD | EXTRACT, "directory of the data set: all other paths of data are relative to it"),
    CHOICE("data.format", "coco_panoptic", "coco_panoptic|coco_instances|coco_stuff|voc|ade20k|ade20k_full", SHARD,
           "layout of the data set; it tells where its files are unless the keys below do"),
    STRING("data.train_json", "", SHARD, "training annotations: COCO JSON; of label PNGs a list of names, one a line"),
    STRING("data.train_images", "", SHARD, "directory of training images (JPEG or PNG)"),
    STRING("data.train_panoptic", "", SHARD, "directory of training id or label PNGs; of a panoptic JSON its name without .json"),
    STRING("data.val_json", "", SHARD, "test annotations, likewise"),
    STRING("data.val_images", "", SHARD, "directory of test images"),
    STRING("data.val_panoptic", "", SHARD, "directory of test id or label PNGs, likewise"),
    STRING("data.classes", "", SHARD, "class file of label PNGs: VALUE: NAME a line"),
    CHOICE("data.store", "decoded", "decoded|encoded", SHARD,
           "shards hold pixels, fast to read, or the JPEG and PNG files as they are, a tenth of the size"),
    STRINGS("data.unseen", "", SHARD, "names of the unseen classes"),
    STRING("data.unseen_file", "", SHARD, "file with one unseen class name a line; instead of data.unseen"),
    CHOICE("data.unseen_rule", "drop", "drop|ignore", SHARD,
           "training images with an unseen class: drop the image, or keep it with unseen pixels void"),
    INTEGER("data.long_side", "0", 0, 16384, SHARD | EVALUATE, "images are scaled down to this longer side; 0: kept"),
    INTEGER("data.shard_images", "512", 1, 1000000, SHARD, "images in one shard file"),
    INTEGER("data.readers", "1", 0, 256, BACKBONE, "threads a rank that read training images ahead; 0: none. Changes no bit"),
    STRING("data.class_vectors", "", EXTRACT, "text or CSV file with a semantic vector per class"),

    CHOICE("segmenter.backbone", "resnet", "resnet|mobilenet_v2|resnet18|resnet34|resnet50|resnet101", BACKBONE | EXTRACT,
           "feature extractor; resnet: a small one of segmenter.width and segmenter.blocks, the others as published"),
    PATH("segmenter.weights", BACKBONE, "safetensors file that training starts from ('zeroth weights list' shows one)"),
    CHOICE("segmenter.load", "backbone", "backbone|body|all", BACKBONE,
           "what segmenter.weights gives: the backbone; all but the class head, as for other classes; or all"),
    INTEGER("segmenter.width", "32", 8, 512, BACKBONE | EXTRACT, "channels of the small ResNet's first stage"),
    INTEGERS("segmenter.blocks", "[1, 1, 1, 1]", 1, 64, BACKBONE | EXTRACT, "blocks of the small ResNet's four stages"),
    CHOICE("segmenter.norm", "auto", "auto|group|frozen_batch", BACKBONE | EXTRACT,
           "norms of a ResNet; auto: group for the small one, frozen batch norms for the published"),
    CHOICE("segmenter.padding", "same", "same|symmetric", BACKBONE | EXTRACT,
           "of MobileNetV2: TensorFlow's SAME or torchvision's, as its weights were trained with"),
    CHOICE("segmenter.pixels", "auto", "auto|symmetric|imagenet", BACKBONE | EXTRACT,
           "pixels the backbone sees: in [-1, 1], or normed by ImageNet's mean and deviation; auto: as torchvision for "
           "its networks, else symmetric"),
    BOOL("segmenter.freeze_backbone", "false", BACKBONE, "the backbone's weights never change"),
    REAL("segmenter.backbone_rate", "0.1", 0, 100, BACKBONE, "learning-rate multiplier of the backbone"),
    CHOICE("segmenter.pixel_decoder", "fpn", "fpn|deformable", BACKBONE | EXTRACT, "multi-scale feature decoder"),
    INTEGER("segmenter.pixel_layers", "2", 1, 24, BACKBONE | EXTRACT, "encoder layers of the deformable pixel decoder"),
    INTEGER("segmenter.pixel_ffn", "0", 0, 8192, BACKBONE | EXTRACT,
            "hidden size of their feed-forward layers; 0: segmenter.ffn"),
    INTEGER("segmenter.dim", "64", 8, 2048, BACKBONE | EXTRACT, "hidden size; a multiple of heads"),
    INTEGER("segmenter.heads", "4", 1, 64, BACKBONE | EXTRACT, "attention heads"),
    INTEGER("segmenter.ffn", "128", 8, 8192, BACKBONE | EXTRACT, "hidden size of the decoder's feed-forward layers"),
    INTEGER("segmenter.layers", "3", 1, 24, BACKBONE | EXTRACT, "transformer decoder layers"),
    INTEGER("segmenter.queries", "20", 1, 1000, BACKBONE | EXTRACT, "object queries"),
    INTEGER("segmenter.points", "256", 16, 100000, BACKBONE, "sampled points a mask in matching and losses"),
    REAL("segmenter.class_weight", "2", 0, 1000, BACKBONE, "weight of the class loss"),
    REAL("segmenter.mask_weight", "5", 0, 1000, BACKBONE, "weight of the mask cross-entropy"),
    REAL("segmenter.dice_weight", "5", 0, 1000, BACKBONE, "weight of the dice loss"),
    REAL("segmenter.no_object_weight", "0.1", 0, 10, BACKBONE, "weight of no-object in the class loss"),
    BOOL("segmenter.ignore_void", "true", BACKBONE | EXTRACT,
         "unlabelled pixels weigh nothing in matching and mask losses; false: they are background"),

    INTEGER("train.steps", "1000", 0, 100000000, BACKBONE, "optimiser steps of the segmenter; 0: segmenter.weights as they are"),
    INTEGER("train.batch", "8", 1, 4096, BACKBONE, "images a step, over all ranks"),
    CHOICE("train.optimizer", "adamw", "sgd|adam|adamw", BACKBONE, "optimiser"),
    REAL("train.rate", "0.0005", 0, 10, BACKBONE, "learning rate"),
    REAL("train.weight_decay", "0.05", 0, 1, BACKBONE, "weight decay"),
    BOOL("train.decay_biases", "false", BACKBONE, "it applies to biases of layers too, as published; to norms it never does"),
    REAL("train.clip", "1", 0, 1000000, BACKBONE, "limit of the global gradient norm; 0: none"),
    CHOICE("train.schedule", "steps", "constant|steps|cosine|poly", BACKBONE, "learning-rate schedule"),
    REALS("train.milestones", "[0.9, 0.95]", 0, 1, BACKBONE, "steps schedule: the rate falls tenfold at these fractions"),
    INTEGER("train.warmup", "20", 0, 1000000, BACKBONE, "steps of linear warm-up"),
    INTEGERS("train.crop", "[64, 64]", 16, 4096, BACKBONE, "height and width of training crops"),
    REALS("train.scale", "[1, 1]", 0.05, 8, BACKBONE, "range of the random scale before cropping"),
    CHOICE("train.scale_of", "image", "image|fit|short_side", BACKBONE,
           "a scale of 1 is: the image as stored, as large as fits the crop, or its shorter side that of the crop"),
    BOOL("train.flip", "true", BACKBONE, "random horizontal flip"),
    REAL("train.colour", "0", 0, 1, BACKBONE, "strength of random brightness, contrast and saturation"),
    INTEGER("train.patience", "20", 1, 1000000, BACKBONE, "stop after this many non-finite steps"),

    BOOL("extract.mirror", "false", EXTRACT, "training images are read a second time, mirrored"),
    INTEGER("extract.pictures", "12", 0, 100000, EXTRACT, "test images kept for side-by-side pictures"),
    INTEGER("extract.long_side", "0", 0, 16384, EXTRACT | EVALUATE, "test images are scaled to this longer side; 0: as stored"),

    CHOICE("generator.kind", "primitive", "none|gmmn|primitive|projection", GENERATOR,
           "how unseen embeddings are synthesised; projection: not, real ones are projected into the semantic space"),
    PATH("generator.weights", GENERATOR,
         "safetensors file with PADing's names that generator and classifier start from; with generator.steps 0 as they are"),
    INTEGER("generator.steps", "2000", 0, 100000000, GENERATOR, "iterations"),
    INTEGER("generator.rows", "96", 2, 65536, GENERATOR, "real seen embeddings a step"),
    REAL("generator.vector_norm", "0", 0, 1000000, GENERATOR, "class vectors are scaled to this length; 0: as they are"),
    INTEGER("generator.primitives", "400", 1, 100000, GENERATOR, "learned primitives N"),
    INTEGER("generator.layers", "3", 1, 24, GENERATOR, "transformer layers of the primitive generator"),
    INTEGER("generator.heads", "8", 1, 64, GENERATOR, "attention heads; divide segmenter.dim"),
    INTEGER("generator.ffn", "1024", 8, 16384, GENERATOR, "hidden size of the feed-forward layers and of the GMMN"),
    REAL("generator.dropout", "0.1", 0, 0.95, GENERATOR, "dropout of the transformer"),
    REAL("generator.encoder_dropout", "0.1", 0, 0.95, GENERATOR, "dropout of disentanglement's encoders and decoder"),
    REAL("generator.gmmn_dropout", "0.4", 0, 0.95, GENERATOR, "dropout of the GMMN's hidden layer"),
    BOOL("generator.noise", "true", GENERATOR, "noise is added after cross-attention"),
    REAL("generator.rate", "0.0005", 0, 10, GENERATOR, "Adam's learning rate of the generator"),
    REALS("generator.milestones", "[1, 1]", 0, 1, GENERATOR, "that rate falls tenfold at these shares of the iterations"),
    REAL("generator.classification_weight", "0.001", 0, 1000, GENERATOR, "weight of the synthetic features' cross-entropy"),
    INTEGER("generator.classification_columns", "156", 0, 1000000, GENERATOR,
            "columns of the classifier in that loss, seen classes first, as in the published code; 0: all, as in the paper"),
    BOOL("generator.disentangle", "true", GENERATOR, "split features into semantic-related and unrelated parts"),
    BOOL("generator.align", "true", GENERATOR, "align class relations with the semantic space"),
    BOOL("generator.align_seen_seen", "true", GENERATOR, "alignment term among seen classes"),
    BOOL("generator.align_unseen_unseen", "true", GENERATOR, "alignment term among unseen classes"),
    BOOL("generator.align_seen_unseen", "true", GENERATOR, "alignment term between seen and unseen classes"),
    REAL("generator.weight", "0.0001", 0, 1000, GENERATOR, "weight w of disentanglement and alignment together"),
    REAL("generator.weight_align", "1", 0, 1000, GENERATOR, "w1, of alignment and the unrelated part's KL"),
    REAL("generator.weight_unrelated", "0.5", 0, 1000, GENERATOR, "weight of that KL beside alignment"),
    REAL("generator.weight_relation", "1", 0, 1000, GENERATOR, "w2, of the relation net"),
    REAL("generator.weight_reconstruction", "0.5", 0, 1000, GENERATOR, "w3, of the reconstruction"),
    REAL("generator.temperature", "0.1", 0.0001, 100, GENERATOR, "temperature of the KL terms"),
    REAL("generator.similarity_temperature", "0.1", 0.0001, 1000, GENERATOR,
         "projection: similarities to the class vectors are divided by it"),
    REALS("generator.sigmas", "[2, 5, 10, 20, 40, 80]", 0.000001, BIG, GENERATOR, "bandwidths of the moment matching"),

    CHOICE("classifier.when", "joint", "joint|after", GENERATOR, "trained in turn with the generator, or after it"),
    INTEGER("classifier.rows", "256", 2, 65536, GENERATOR, "real embeddings, no-object included, a step"),
    INTEGER("classifier.unseen_choice", "5", 1, 10000, GENERATOR, "unseen classes synthesised a step, K"),
    REAL("classifier.unseen_weight", "5", 0, 1000, GENERATOR, "weight of unseen classes in its loss"),
    REAL("classifier.no_object_weight", "0.1", 0, 10, GENERATOR, "weight of no-object in its loss"),
    CHOICE("classifier.optimizer", "adam", "adam|sgd", GENERATOR,
           "its optimiser; sgd as in the published code: momentum 0.9, weight decay 5e-4"),
    REAL("classifier.rate", "0.001", 0, 10, GENERATOR, "Adam's learning rate of the classifier"),

    REAL("evaluate.score", "0.8", 0, 1, EVALUATE, "panoptic: queries under this class probability are dropped"),
    REAL("evaluate.overlap", "0.8", 0, 1, EVALUATE, "panoptic: segments that keep less of their own mask are dropped"),
    CHOICE("calibration.kind", "none", "none|fixed|budget", EVALUATE,
           "bias subtracted from seen logits: none, calibration.bias, or what training queries can spare"),
    REAL("calibration.bias", "0", -100, 100, EVALUATE, "the bias where calibration.kind is fixed"),
    REAL("calibration.budget", "0.05", 0, 1, EVALUATE,
         "share of right training queries of seen classes that the bias may cost, where calibration.kind is budget"),
    REALS("calibration.curve", "[-6, -3, -1.5, 0, 1.5, 3, 6]", -100, 100, EVALUATE,
          "biases of the seen-unseen trade-off curve, besides both infinities; each is an evaluation more. []: no curve"),
    STRINGS("evaluate.export", "", EVALUATE, "predictions kept as files for other scorers: panoptic, instances, semantic"),
    INTEGER("evaluate.pictures", "6", 0, 100000, EVALUATE, "side-by-side pictures written"),

    STRING("work", "", RUNNER, "directory of ledger, runs and artifacts; empty: zeroth-work in the current directory"),
    INTEGER("run.cores", "0", 0, 4096, RUNNER, "cores the local executor may use; 0: all of this machine"),
    BYTES("run.host_memory", "0", RUNNER, "memory the local executor may give out; 0: nine tenths of this machine's"),
    INTEGER("run.host_gpus", "-1", -1, 1024, RUNNER, "GPUs the local executor may give out; -1: those found here"),
    INTEGER("run.jobs", "0", 0, 100000, RUNNER, "most jobs at a time; 0: as many as fit"),
    INTEGER("run.threads", "1", 1, 256, RUNNER, "threads of one rank; another number may change the last bits of results"),
    INTEGER("run.ranks", "1", 1, 4096, RUNNER,
            "ranks of a job under mpirun: the same results on any number; the backbone's divide train.batch, the generator has one"),
    BYTES("run.memory", "0", RUNNER, "memory a job is expected to need, all ranks together; 0: not counted"),
    INTEGER("run.gpus", "0", 0, 1024, RUNNER, "GPUs of a job"),
    DURATION("run.time", "0", RUNNER, "time limit of one attempt, which stops short of it with a checkpoint; 0: none"),
    RESOURCES("shard"),
    RESOURCES("backbone"),
    RESOURCES("extract"),
    RESOURCES("generator"),
    RESOURCES("evaluate"),
    INTEGER("run.priority", "0", -1000000, 1000000, RUNNER, "jobs of trials with a higher one start first"),
    INTEGER("run.attempts", "2", 1, 100, RUNNER, "attempts that may end without getting further, by causes worth a retry"),
    DURATION("run.backoff", "1", RUNNER, "pause before a job is tried again; doubled each time, up to 5 minutes"),
    DURATION("run.hang", "30m", RUNNER, "a job that neither steps nor computes for so long is ended and tried again; 0: never"),
    REAL("run.checkpoint_seconds", "20", 0, 86400, RUNNER, "seconds between checkpoints, more where copies would take 1 % of the time; 0: every step"),

    STRING("slurm.partition", "", RUNNER, "Slurm's partition, or several with commas; empty: the cluster's default"),
    STRING("slurm.account", "", RUNNER, "account that is charged; empty: the user's default"),
    STRING("slurm.qos", "", RUNNER, "quality of service; empty: the default"),
    STRING("slurm.constraint", "", RUNNER, "features that nodes must have"),
    STRING("slurm.gres", "", RUNNER, "generic resources of a job that uses GPUs, in place of gpu:N with its run.gpus"),
    DURATION("slurm.time", "0", RUNNER, "time limit where run.time says none; 0: the partition's"),
    BYTES("slurm.mem", "0", RUNNER, "memory of a job where run.memory says none; 0: the cluster's default"),
    BYTES("slurm.max_memory", "0", RUNNER, "most that a job is given after it ran out of memory; 0: no limit of ours"),
    STRINGS("slurm.options", "", RUNNER, "more options of sbatch: [--exclusive, --reservation=NAME]"),
    SLURM_STAGE("shard"),
    SLURM_STAGE("backbone"),
    SLURM_STAGE("extract"),
    SLURM_STAGE("generator"),
    SLURM_STAGE("evaluate"),
    STRINGS("slurm.modules", "", RUNNER, "modules that the batch script loads"),
    STRINGS("slurm.lines", "", RUNNER, "lines of shell that the batch script runs before the program"),
    STRINGS("slurm.export", "", RUNNER, "more environment variables that jobs get from the submitting shell"),
    PATH("slurm.template", RUNNER, "batch script in place of the built-in one (slurm/job.sbatch.in)"),
    STRING("slurm.mpi", "pmix", RUNNER, "how ranks are started: mpirun, or the NAME of srun --mpi=NAME"),
    DURATION("slurm.signal_before", "2m", RUNNER, "so long before the time limit a job is told to checkpoint"),
    BOOL("slurm.requeue", "true", RUNNER, "jobs go back to the queue by themselves; false: sync submits them anew"),
    BOOL("slurm.resubmit", "true", RUNNER, "each job ends with a sync, which submits what is next"),
    INTEGER("slurm.canary", "20", 0, 1000000, RUNNER, "where a stage has so many jobs, one finishes before the rest is submitted; 0: never"),
    INTEGER("slurm.pack", "1", 1, 10000, RUNNER, "jobs that one task of an array runs one after another"),
    INTEGER("slurm.throttle", "0", 0, 1000000, RUNNER, "tasks of one array that run at a time; 0: all"),
    INTEGER("slurm.max_array", "0", 0, 10000000, RUNNER, "tasks of one array; 0: the cluster's MaxArraySize"),
    INTEGER("slurm.max_submit", "0", 0, 10000000, RUNNER, "your jobs in the queue at a time; 0: as many as the cluster takes"),
    DURATION("slurm.poll", "10s", RUNNER, "pause between two looks at the queue; up to twelve times that while nothing changes"),
    DURATION("slurm.timeout", "1m", RUNNER, "how long an answer of Slurm's commands is waited for"),
    DURATION("slurm.lost", "1m", RUNNER, "a submission without an answer, that no queue shows after so long, was never made"),
};

const int CONFIG_SCHEMA_COUNT = (int)(sizeof CONFIG_SCHEMA / sizeof CONFIG_SCHEMA[0]);
