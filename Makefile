# make            builds build/release/zeroth
# make test       installs what is missing, builds, runs every test
# make demo       installs what is missing, builds, runs the demo study
# make soak       3 000 jobs through Slurm, and 200 kills at random moments of a study; SOAK_SEED=N other moments, SOAK_KILLS=N more or fewer
# make bench      speed, as ratios against peers measured in the same run
# make parity PARITY=DIR   every parity file of DIR
# make page       the dashboard's page alone, by npm; fails where that cannot be
# make dist       a release archive with the page built in, in build/dist
# make fuzz FUZZ=N         every reader on N mutated inputs, under sanitizers; tests run some thousands
# BUILD=asan      the same under AddressSanitizer and UBSan
BUILD ?= release
OUT := build/$(BUILD)

CC := gcc
MPICC_CFLAGS = $(shell mpicc --showme:compile 2>/dev/null)
MPICC_LIBS = $(shell mpicc --showme:link 2>/dev/null)
PACKAGES := libpng libjpeg yaml-0.1 sqlite3 libxxhash yajl libdeflate libmicrohttpd
HDF5_CFLAGS := $(shell pkg-config --cflags hdf5 2>/dev/null || echo -I/usr/include/hdf5/serial)
HDF5_LIBS := $(shell pkg-config --libs hdf5 2>/dev/null || echo -L/usr/lib/x86_64-linux-gnu/hdf5/serial -lhdf5)
COMMIT := $(shell git rev-parse --short=12 HEAD 2>/dev/null || echo unknown)$(shell \
            git status --porcelain --untracked-files=no 2>/dev/null | grep -q . && echo +dirty)

WARNINGS := -Wall -Wextra -Wconversion -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wvla
CFLAGS_release := -O3 -g -march=native -fno-math-errno -fno-trapping-math
CFLAGS_asan := -O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=undefined
LDFLAGS_asan := -fsanitize=address,undefined
# Sanitised MPI and HDF5 headers are theirs, not ours: -isystem keeps their warnings out.
INCLUDES = -I. $(patsubst -I%,-isystem %,$(filter -I%,$(HDF5_CFLAGS) $(MPICC_CFLAGS)))
CFLAGS = -std=c11 -D_GNU_SOURCE -fopenmp $(WARNINGS) $(CFLAGS_$(BUILD)) $(INCLUDES) -MMD -MP
LDLIBS = $(HDF5_LIBS) $(MPICC_LIBS) $(shell pkg-config --libs $(PACKAGES) 2>/dev/null) -ldnnl -lpthread -lm

FLOORS := framework storage models jobs dashboards
LIB_SOURCES := $(shell find $(wildcard $(FLOORS)) -name '*.c' | sort)
LIB_OBJECTS := $(LIB_SOURCES:%.c=$(OUT)/%.o)
COMMAND_SOURCES := $(sort $(wildcard commands/*.c))
COMMAND_OBJECTS := $(COMMAND_SOURCES:%.c=$(OUT)/%.o)
TEST_SOURCES := $(shell find tests -name 'test_*.c' | sort)
TESTS := $(TEST_SOURCES:tests/%.c=$(OUT)/tests/%)
BENCH_SOURCES := $(shell find tests -name 'bench_*.c' | sort)
BENCHES := $(BENCH_SOURCES:tests/%.c=$(OUT)/tests/%)
PARITY_OBJECTS := $(patsubst %.c,$(OUT)/%.o,$(sort $(wildcard tests/models/parity_*.c)))

# Plain builds say at once what only `make deps` can mend; the other targets see to it themselves.
ifeq ($(filter-out all lib tests benches,$(MAKECMDGOALS)),)
ifeq ($(shell pkg-config --exists $(PACKAGES) 2>/dev/null && mpicc --version >/dev/null 2>&1 && $(CC) --version >/dev/null 2>&1 && echo found),)
$(error Libraries are missing: run "make deps" first)
endif
endif

.PHONY: all lib tests benches deps build-deps slurm-deps test test-asan soak demo bench parity fuzz page dist clean
.DEFAULT_GOAL := all
.SECONDARY:

all: $(OUT)/zeroth
lib: $(OUT)/libzeroth.a
tests: $(TESTS)
benches: $(BENCHES)

$(OUT)/libzeroth.a: $(LIB_OBJECTS)
	@rm -f $@
	@ar rcs $@ $^

$(OUT)/zeroth: $(COMMAND_OBJECTS) $(OUT)/libzeroth.a
	$(CC) -fopenmp $(LDFLAGS_$(BUILD)) -o $@ $^ $(LDLIBS)

# The commit is compiled into one object of the program, remade when it changes.
$(OUT)/commit: always
	@mkdir -p $(@D); echo $(COMMIT) | cmp -s - $@ || echo $(COMMIT) >$@
$(OUT)/commands/version.o: $(OUT)/commit
$(OUT)/commands/version.o: CFLAGS += -DZEROTH_COMMIT=$(COMMIT)
$(OUT)/jobs/provenance.o: CFLAGS += -DZEROTH_FLAGS='"$(CFLAGS_$(BUILD))"'
.PHONY: always
# The batch script is compiled in.
$(OUT)/jobs/slurm_script.o: slurm/job.sbatch.in

# The dashboard's page, one HTML file, is embedded into the program. A release archive has it built in
# (dashboards/page.html); else npm makes it; without npm it is empty, and `zeroth dashboard` says so.
PAGE := build/page/page.html
PAGE_SOURCES := $(wildcard dashboards/page/*.ts dashboards/page/*.css dashboards/page/*.html dashboards/page/*.mjs \
                  dashboards/page/*.json dashboards/page/.npmrc dashboards/page.html)
$(PAGE): $(PAGE_SOURCES) dashboards/page/make.sh
	@dashboards/page/make.sh $@
page:
	@rm -f $(PAGE)
	@dashboards/page/make.sh $(PAGE) strict
$(OUT)/dashboards/page.o: $(PAGE)
$(OUT)/dashboards/page.o: CFLAGS += -DPAGE_FILE=$(PAGE)

# A release: the sources of HEAD with the page built in.
dist: page
	@name=zeroth-$(firstword $(subst +, ,$(COMMIT))); mkdir -p build/dist; \
	git archive --format=tar --prefix=$$name/ HEAD >build/dist/$$name.tar && \
	tar --append --file=build/dist/$$name.tar --owner=0 --group=0 --transform="s|^$(PAGE)|$$name/dashboards/page.html|" $(PAGE) && \
	gzip -nf build/dist/$$name.tar && echo build/dist/$$name.tar.gz

$(OUT)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC $<"
	@$(CC) $(CFLAGS) -c -o $@ $<

$(OUT)/tests/models/parity $(OUT)/tests/models/test_parity: $(PARITY_OBJECTS)
$(OUT)/tests/%: $(OUT)/tests/%.o $(OUT)/libzeroth.a
	@mkdir -p $(@D)
	@$(CC) -fopenmp $(LDFLAGS_$(BUILD)) -o $@ $(filter %.o,$^) $(filter %.a,$^) $(LDLIBS)

# A machine without locks, for tests to preload.
$(OUT)/tests/commands/no_locks.so: tests/commands/no_locks.c
	@mkdir -p $(@D)
	@$(CC) -std=c11 $(WARNINGS) -O2 -fPIC -shared -o $@ $<
$(OUT)/tests/commands/test_ledger: | $(OUT)/tests/commands/no_locks.so

# What the build and the tests need, as Debian packages.
DEPS := gcc make pkg-config git mpi-default-bin libopenmpi-dev libhdf5-dev libdnnl-dev libyaml-dev libsqlite3-dev \
        libjpeg62-turbo-dev libpng-dev libdeflate-dev libxxhash-dev libyajl-dev libmicrohttpd-dev
# A Slurm of one's own for its tests, which are skipped without it.
SLURM_DEPS := slurm-wlm munge
BENCH_DEPS := python3-torch python3-torchvision libopenblas0-openmp python3-numpy python3-scipy snakemake
# $(1): packages. Root installs what is missing; anybody else is told the command.
define install
	@missing=; for package in $(1); do \
	    dpkg-query -W -f '$${Status}' $$package 2>/dev/null | grep -q 'ok installed' || missing="$$missing $$package"; done; \
	if [ -z "$$missing" ]; then exit 0; fi; \
	if [ "$$(id -u)" = 0 ]; then apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	    --no-install-recommends $$missing >/dev/null || { echo "could not install:$$missing" >&2; exit 1; }; \
	else echo "An administrator must run: apt-get install$$missing" >&2; exit 1; fi
endef
deps: build-deps
	@[ "$$(id -u)" != 0 ] || $(MAKE) --no-print-directory slurm-deps || echo "Tests on Slurm will be skipped" >&2
build-deps:
	$(call install,$(DEPS))
slurm-deps:
	$(call install,$(SLURM_DEPS))

# The sub-make reads the paths of libraries again, after they have been installed.
test: deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD) all tests benches
	@tests/run.sh $(OUT)
test-asan:
	@$(MAKE) --no-print-directory BUILD=asan test

soak: deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD) all $(OUT)/tests/commands/test_soak $(OUT)/tests/slurm/test_waves
	@SOAK_KILLS=$${SOAK_KILLS:-200} SOAK_SEED=$${SOAK_SEED:-$$(date +%s)} tests/run.sh $(OUT) commands/test_soak
	@grep '^  soak:' $(OUT)/tests/commands/test_soak.log
	@SOAK=1 tests/run.sh $(OUT) slurm/test_waves

demo: build-deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD) all
	@OUT=$(OUT) configs/demo.sh

bench: build-deps
	$(call install,$(BENCH_DEPS))
	@$(MAKE) --no-print-directory BUILD=release all benches
	@for script in tests/bench/*.sh; do OUT=build/release $$script || exit 1; done

PARITY ?= ../shared/parity
parity: build-deps
	@$(MAKE) --no-print-directory BUILD=$(BUILD) $(OUT)/tests/models/parity
	@$(OUT)/tests/models/parity $(PARITY)

FUZZ ?= 1000000
fuzz: deps
	@$(MAKE) --no-print-directory BUILD=asan build/asan/tests/fuzz/test_fuzz
	@FUZZ=$(FUZZ) build/asan/tests/fuzz/test_fuzz

clean:
	rm -rf build

-include $(PARITY_OBJECTS:.o=.d) $(LIB_OBJECTS:.o=.d) $(COMMAND_OBJECTS:.o=.d) $(TESTS:=.d) $(BENCHES:=.d)
