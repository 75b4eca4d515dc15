# Everything a contributor runs. CI runs `make check` through .ci/run.

GO       ?= go
VERSION  ?= $(shell git describe --tags --always --dirty 2>/dev/null)
# The version comes by ldflags, so Go need not ask git (which fails in a checkout owned by another user).
export GOFLAGS := $(GOFLAGS) -buildvcs=false

.DEFAULT_GOAL := help
.PHONY: help bench soak build demo test lint sim-slice check packages packages-check content e2e e2e-slice e2e-packages fuzz kills sim proof clean

help: ## print this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/muster and bin/muster-lab (static, reproducible)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.version=$(VERSION)' -o bin/ ./cmd/muster ./cmd/muster-lab

demo: build ## build, then run the demo cluster on this host
	bin/muster-lab demo

# More tests at once than cores: those with real processes mostly wait.
test: ## run all tests under the race detector, in random order
	@scripts/need-tools.sh
	CGO_ENABLED=1 $(GO) test -race -shuffle=on -parallel=4 -timeout=10m ./...

lint: ## check formatting, vet, staticcheck, shell scripts and both go.mod files
	@scripts/lint.sh

sim-slice: ## simulate 550 clusters under faults, as CI does
	@$(GO) test -count=1 -timeout=10m -v -run 'TestSimulation|TestMeetings' ./internal/sim -args -sim.seeds=500 -sim.meetings=50 | scripts/closing-line.sh

# The build comes before the tests, which build the same programs again: from its cache.
check: ## lint, build, test, simulate, demo, package and boot, and prove that nothing was left running or mounted
	@scripts/check-clean.sh $(MAKE) --no-print-directory -j1 lint build test sim-slice demo packages-check e2e-slice

packages: ## make dist/: deb, rpm and the bare program of muster, the same bytes from the same commit
	@scripts/packages.sh

content: ## make dist/: the content packs of DRP that put muster onto machines
	@scripts/content.sh

packages-check: ## make the packages twice, and look into them
	@scripts/need-tools.sh packages
	@scripts/packages-check.sh

e2e-slice: e2e-packages ## the life of the deb on one machine with a real systemd, as root: a minute, and one more for the first in E2E_CACHE
	$(GO) test -count=1 -timeout=10m -v -run 'ThePackageOnARealHost' ./packaging -args $(HOSTS)

# Long runs, which CI leaves out.
e2e: e2e-packages content ## boot Debian machines with a real systemd, as root, and have packages and content pack live there: ten minutes
	@scripts/drpcli.sh
	$(GO) test -count=1 -timeout=20m -v -run RealHost ./packaging -args $(HOSTS)

E2E_CACHE ?= /var/cache/muster-e2e
HOSTS      = -packages=$(CURDIR)/dist -bin=$(CURDIR)/bin -cache=$(E2E_CACHE) -host

e2e-packages: build packages
	@scripts/need-tools.sh packages e2e
	@scripts/packages.sh newer

SOAK ?= 10m

soak: ## churn a cluster of 200 members of all kinds for SOAK (10m, or 4h): broken promises, leaks, memory that grows
	@$(GO) test -count=1 -timeout=24h -v -run TestSoak ./lab/soak -args -soak.for=$(SOAK) -soak.members=200 | scripts/closing-line.sh

RUNS       ?= 3
LARGE_RUNS ?= $(RUNS)

bench: ## measure what clusters of 10, 100 and 1000 cost, RUNS (3) times and LARGE_RUNS (as many) with 1000, and write docs/performance.md: 20 minutes on a machine with nothing else to do
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-s -w -X main.version=$(VERSION)' -o bin/shipped/ ./cmd/muster ./cmd/muster-lab
	$(GO) run ./lab/bench/performance -bin bin/shipped -version '$(VERSION)' -runs $(RUNS) -large-runs $(LARGE_RUNS)

FUZZTIME ?= 60s
KILLS    ?= 1000
SEEDS    ?= 10000
MEETINGS ?= 1000
CROWDS   ?= 1

fuzz: ## fuzz every parser of the endpoint, FUZZTIME (60s) each
	@scripts/fuzz.sh $(FUZZTIME)

kills: ## kill the endpoint KILLS (1000) times under load and look for lost writes
	MUSTER_KILLS=$(KILLS) $(GO) test -count=1 -timeout=60m -v -run TestKilledEndpoint ./cmd/muster-lab

sim: ## simulate SEEDS (10000) clusters under faults, MEETINGS (1000) that meet and CROWDS (1) of 1000 members: three quarters of an hour
	@$(GO) test -count=1 -timeout=5h -v -run 'TestSimulation|TestMeetings|TestCrowds' ./internal/sim -args -sim.seeds=$(SEEDS) -sim.meetings=$(MEETINGS) -sim.crowds=$(CROWDS) | scripts/closing-line.sh

proof: ## resign, race, kill, fence and rotate tokens at full size over real sockets and processes: a quarter of an hour
	MUSTER_PROOF=1 $(GO) test -count=1 -timeout=60m -v -run 'TestAnotherMember|TestOfMany|TestHoldersNever|TestNoWriteUnder|TestHistories|TestTheLeaseOfAKilled|TestSetUnder|TestAgentsThatAreKilled|TestTokensThatRotate|TestAStepOfAHostThatLosesPower|TestOfflineTable|TestAGateOverReal|TestFifty' ./agent ./cmd/muster ./lab

clean: ## remove what the other targets made
	rm -rf bin dist coverage.out
