/* The program: finds the subcommand in one table and calls it. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "commands/commands.h"
#include "framework/text.h"
#include "commands/version.h"

#define COMMON_HELP                                                          \
    "Common flags: --work DIR (ledger, runs, artifacts; default zeroth-work)," \
    " -q quiet, -v verbose,\n"                                               \
    "              --locks fcntl|lease (lease: for file systems whose locks fail)\n"

#define CONTROL_HELP                                                                             \
    "  NAME              of a study in the work directory (--work)\n"                            \
    "  JOB               key of a job, or its start, as 'zeroth status --all' shows it; default: the whole study\n"

static const Command COMMANDS[] = {
    {"run", command_run, "STUDY.yaml [KEY=VALUE ...]", "run a study; finished work is not repeated",
     "  KEY=VALUE         sets a config key in every trial ('zeroth config' lists them)\n"
     "  --only STAGE      run up to this stage only\n"
     "  -j, --jobs N      at most N jobs at a time (run.jobs)\n"
     "  --fail-fast       stop the rest, with checkpoints, at the first failed job\n"
     "  -k, --keep-going  try every job, also where others of its stage failed alike\n"
     "  --watch           where another process runs in this work directory, follow it\n"
     "  --executor slurm  submit to Slurm and follow until all is done; Ctrl-C leaves the jobs there\n"
     "  --no-canary, --dry-run   with Slurm: see 'zeroth submit --help'\n"
     "Ctrl-C stops every job with a checkpoint; the same command goes on from there.\n"},
    {"submit", command_submit, "STUDY.yaml [KEY=VALUE ...]", "hand a study to Slurm, and return at once",
     "  --dry-run         print the batch scripts and sbatch lines, and send nothing\n"
     "  --no-canary       send a large stage whole, before one of its jobs has shown that it works\n"
     "  --only STAGE      up to this stage only\n"
     "Jobs that are finished, queued or at work are not sent again. 'zeroth config slurm' lists what a site needs.\n"},
    {"sync", command_sync, "[STUDY.yaml | NAME]", "see what became of jobs in Slurm, and send what is next",
     "  --no-canary       as for submit\n"
     "Each batch job ends with one; status does one too. No process has to stay logged in.\n"},
    {"watch", command_watch, "STUDY.yaml | NAME", "follow a study that another process runs",
     "Ctrl-C ends only the watching.\n"},
    {"pause", command_pause, "STUDY.yaml | NAME [JOB ...]", "stop jobs with a checkpoint until 'resume'",
     CONTROL_HELP "A run whose jobs are all paused waits. A pause stays when the run ends.\n"},
    {"resume", command_resume, "STUDY.yaml | NAME [JOB ...]", "let paused jobs go on", CONTROL_HELP},
    {"cancel", command_cancel, "STUDY.yaml | NAME [JOB ...]", "stop jobs for good; their checkpoints are kept",
     CONTROL_HELP "What depends on a cancelled job is blocked; the rest goes on. 'retry' brings it back.\n"},
    {"retry", command_retry, "STUDY.yaml | NAME [JOB ...]", "try failed and cancelled jobs again",
     CONTROL_HELP "At once where a run is on, else when the study is next run.\n"},
    {"plan", command_plan, "STUDY.yaml [KEY=VALUE ...]", "show the jobs a study needs, and run nothing",
     "  --jobs            one line per job\n"
     "  --trials          one line per trial\n"
     "  --halving         one line per group of a study with halving\n"
     "  --why [JOB]       what changed since the nearest finished job of its stage; JOB is the start of a key,\n"
     "                    without it one line for every job that is to do\n"},
    {"status", command_status, "[STUDY.yaml | NAME]", "jobs of a work directory and their states",
     "  --failed          failed jobs only\n"
     "  -a, --all         every job\n"},
    {"report", command_report, "STUDY.yaml [KEY=VALUE ...]", "scores per variant, mean and interval over seeds",
     "  KEY=VALUE         as given to 'zeroth run': other values are other jobs\n"
     "  -f, --format table|markdown|csv|latex|json|html\n"
     "                    html: the dashboard's page in one file with its data, for a browser, without a server\n"
     "  -m, --metrics A,B keys of metrics.json or their ends: pq.unseen, semantic.miou.seen\n"
     "  --models          one line per finished trial: group, seed, directory of model and pictures\n"
     "  --curve           seen against unseen at each bias of calibration.curve; as table or csv\n"},
    {"dashboard", command_dashboard, "[STUDY.yaml]", "a page to watch and compare studies, in a browser",
     "  STUDY.yaml        whose work directory is shown; else --work\n"
     "  -p, --port N      where it listens (8765; 0: a free one)\n"
     "  --bind ADDRESS    also for other machines (127.0.0.1: for this one alone); then a token is asked for, which the\n"
     "                    printed link holds\n"
     "  --token           ask for a token here too, on a machine that others use\n"
     "It reads the ledger and the runs, and changes nothing.\n"},
    {"logs", command_logs, "[STUDY.yaml] JOB", "the log of a job's last attempt",
     "  JOB               its key or the start of it, as 'zeroth status --all' shows it\n"
     "  STUDY.yaml        where that study's work directory is looked in\n"
     "  -f, --follow      go on as it grows\n"
     "  -n, --lines N     last N lines only\n"},
    {"ledger", command_ledger, "show|check|rebuild|migrate ...", "look into, check or remake the ledger",
     "  ledger show [STUDY.yaml] JOB   a job's whole record: config, inputs, attempts with code, libraries and machine,\n"
     "                                 results; JOB is its key or the start of it\n"
     "    --format text|json\n"
     "  ledger check [STUDY.yaml]      lists where ledger and directories disagree, and damaged artifacts\n"
     "    --full                       compares checksums too\n"
     "  ledger rebuild [STUDY.yaml]    makes the ledger anew from the directories\n"
     "  ledger migrate [STUDY.yaml]    brings the ledger of an earlier program to this one's schema\n"
     "STUDY.yaml tells the work directory, as --work does.\n"},
    {"gc", command_gc, "", "list, then remove, what no recorded study needs",
     "  --remove          removes what is listed; without it nothing is touched\n"
     "  --forget NAME     drops that study's record too, and so what only it needs\n"
     "Nothing of a job at work is touched. A study needs the jobs of the latest plan recorded for it, and of those with\n"
     "KEY=VALUE.\n"},
    {"data", command_data, "synth|import|info|verify ...", "make, import, describe or check data sets",
     "  data import --root DIR --output DIR    a data set to shards; also under mpirun -n K;\n"
     "                                         run again, it makes what is missing\n"
     "    --format NAME         coco_panoptic (default), coco_instances, coco_stuff, voc, ade20k, ade20k_full\n"
     "    --train-json, --train-images, --train-panoptic, --val-json, --val-images, --val-panoptic PATH\n"
     "                          annotations (or a list of names), images, PNGs of ids or labels, below the root;\n"
     "                          by default where the layout has them: panoptic_train.json, train, ...\n"
     "    --classes FILE        which label is which class: VALUE: NAME a line\n"
     "    --store HOW           decoded (default), or encoded: JPEG and PNG files as they are\n"
     "    --unseen FILE|a,b,c   unseen classes: a file with a name a line, or the names\n"
     "    --unseen-rule RULE    training images with one: drop (default) or ignore (its pixels void)\n"
     "    --long-side N         images are scaled down to this longer side\n"
     "    --shard-images N      images in a shard (512)\n"
     "  data synth --output DIR                synthetic scenes in the same layout\n"
     "    --train N, --val N    images (2000, 400); --size HxW their size (64x64)\n"
     "    --things N, --unseen-things N, --stuff N, --unseen-stuff N   classes, and how many of them unseen\n"
     "                          (16, 4, 8, 2)\n"
     "    --unseen-rate P       training images that may show unseen classes (0.25)\n"
     "    --noise X, --lighting X, --hue-spread X   grey levels (4), gradient (0.7), colours (0.6)\n"
     "    --vector-dim N, --vector-noise X          class vectors: length (64), part of their own (0.1)\n"
     "    --quality Q           of JPEG (92); --min-area N pixels, smaller remnants are void (12)\n"
     "    --seed N              of the scenes (1)\n"
     "  data info PATH ...      classes, counts and sizes of a data set, feature store or checkpoint\n"
     "  data verify PATH ...    checks every checksum and reference\n"},
    {"predict", command_predict, "MODEL IMAGE...", "segment pictures",
     "  MODEL             directory of an evaluate job's artifact, or its classifier.h5\n"
     "  -o, --output DIR  where NAME.png of each image goes (predictions)\n"
     "  --long-side N     images are scaled to this longer side, 0: not; default: as the model was evaluated\n"
     "  --export FORMS    predictions as files in DIR/export too: panoptic,instances,semantic\n"
     "  --score X         queries under this class probability are dropped; default: as the model was evaluated\n"
     "  --overlap X       segments that keep less of their own mask are dropped; default: likewise\n"},
    {"score", command_score, "panoptic|instances|semantic GT PRED", "score any predictions in COCO's forms",
     "  panoptic GT.json PRED.json     panoptic quality; each file has a folder of PNGs beside it\n"
     "  instances GT.json PRED.json    mask AP and recall of COCO results, by COCO's rules\n"
     "  semantic GT_DIR PRED_DIR       mIoU of label PNGs whose values are category ids\n"
     "  --format table|json|csv\n"
     "  --classes FILE    JSON with the categories of semantic; default: PRED_DIR.json\n"
     "  --gt-folder DIR   PNGs of the truth; default: GT without .json. --pred-folder likewise\n"
     "  --unseen FILE     names of unseen classes, one a line; default: the \"split\" of GT's categories\n"
     "  --per-class       a line per class too\n"},
    {"weights", command_weights, "list|import|export ...", "weights from and for other programs",
     "  weights list FILE                        tensors of a safetensors file or of a .h5 of ours\n"
     "  weights import FILE.safetensors SEGMENTER.h5 -o NEW.h5   the network and classes of SEGMENTER with the\n"
     "                                           weights of FILE, whatever style its names have\n"
     "    --part backbone|body|all               body: all but the class head (all)\n"
     "  weights export MODEL.h5 -o FILE.safetensors   a segmenter, generator or classifier\n"
     "    --names STYLE                          zeroth, torchvision, detectron2, mask2former (default), pading\n"
     "A study starts from such a file by segmenter.weights; docs/convert_weights.py makes one of a .pth or .pkl.\n"},
    {"config", command_config, "[KEY ...]", "every key of a study: type, default, range, meaning",
     "  KEY               only these; a word before a dot stands for all its keys: train\n"},
    {"doctor", command_doctor, "", "check this machine and work directory",
     "Lines that begin with '!' need attention; the exit code is 0 where there is none.\n"},
    {"attempt", command_attempt, "SPEC.json", NULL, NULL},
    {"task", command_task, "WAVE INDEX", NULL, NULL},
};
static const size_t COMMAND_COUNT = sizeof COMMANDS / sizeof COMMANDS[0];

static void print_commands(FILE *out)
{
    fprintf(out, "zeroth: ablation studies of zero-shot segmentation\n\nusage: zeroth COMMAND [ARGUMENTS]\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (COMMANDS[i].summary != NULL)
            fprintf(out, "  %-9s %s\n", COMMANDS[i].name, COMMANDS[i].summary);
    fprintf(out, "\n'zeroth COMMAND --help' says more; 'zeroth --version' tells the version.\n" COMMON_HELP);
}

static void print_help(const Command *command)
{
    printf("usage: zeroth %s%s%s\n", command->name, command->usage[0] != '\0' ? " " : "", command->usage);
    if (command->summary != NULL) printf("%s\n", command->summary);
    if (command->help != NULL) printf("\n%s", command->help);
    printf("\n" COMMON_HELP);
}

static const Command *find_command(const char *name)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(COMMANDS[i].name, name) == 0) return &COMMANDS[i];
    return NULL;
}

/* The command with the most similar name, or NULL where none is near. */
static const char *nearest_command(const char *name)
{
    const char *nearest = NULL;
    int best = 3;
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        int distance = text_distance(name, COMMANDS[i].name);
        if (COMMANDS[i].summary != NULL && distance < best) {
            best = distance;
            nearest = COMMANDS[i].name;
        }
    }
    return nearest;
}

static bool wants_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) return true;
    return false;
}

/* Results that could not be written are no success. */
static int flush_output(int code)
{
    errno = 0;
    if (fflush(stdout) == 0 && ferror(stdout) == 0) return code;
    int failed = command_end(status_errno(errno != 0 ? errno : EIO, "write", "standard output"));
    return code != 0 ? code : failed;
}

int main(int argc, char **argv)
{
    if (argc < 2) {
        print_commands(stderr);
        return status_exit_code(STATUS_USAGE);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 || (strcmp(argv[1], "help") == 0 && argc == 2)) {
        print_commands(stdout);
        return 0;
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("zeroth %s (%s)\n", VERSION_NUMBER, version_commit());
        return 0;
    }
    bool only_help = strcmp(argv[1], "help") == 0;
    const char *name = argv[only_help ? 2 : 1];
    const Command *command = find_command(name);
    if (command == NULL) {
        const char *nearest = nearest_command(name);
        fprintf(stderr, "zeroth: unknown command '%s'%s%s%s\n", name, nearest ? ": did you mean '" : "",
                nearest ? nearest : "", nearest ? "'?" : ": see 'zeroth --help'");
        return status_exit_code(STATUS_USAGE);
    }
    if (only_help || wants_help(argc - 1, argv + 1)) {
        print_help(command);
        return 0;
    }
    return flush_output(command->run(argc - 1, argv + 1));
}
