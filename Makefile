# make demo: the first sweep.   make test: the tests.   make help: everything else.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
RESULTS ?= results

# Each of hundreds of processes would compile our modules, and each pytest rewrite the tests, where the environment forbids to keep that.
unexport PYTHONDONTWRITEBYTECODE
# Modules are compiled as they are first imported: to compile all of them takes half of the installation, and most are never used.
INSTALL := install --quiet --disable-pip-version-check --no-compile --require-hashes

.PHONY: help install demo notebooks test test-long test-exports test-system system-packages test-all test-fast lint format docs lock clean

help:
	@echo "make demo       install, then run studies/digits.yaml, draw its figures and write its report (results/digits)"
	@echo "make test       install, then test the main paths: ten minutes on two cores"
	@echo "make test-all   every test: also the long ones of conformance, equality, continuation and kills"
	@echo "make test-system  clusters of hosts in network namespaces; needs root and Debian packages, which it installs"
	@echo "make test-exports  what is written for TensorBoard, MLflow, Kubernetes and others, read by them, in an environment of its own"
	@echo "make test-fast  the tests that need neither Ray nor much time: five minutes"
	@echo "make notebooks  install JupyterLab, then open notebooks/"
	@echo "make lint       ruff and mypy"
	@echo "make format     let ruff format the code"
	@echo "make docs       build the pages of docs/ as a site (site/index.html)"
	@echo "make lock       pin the dependencies anew"
	@echo "make clean      remove the environment; results stay"

install: $(STAMP)

# Everything is pinned with hashes, and the lock file is complete. Two processes install half of it each: most of that time pip looks through
# versions. The project itself comes last and brings nothing along.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv --clear $(VENV)
	@awk '/^[^ ]/ {n++} {print > ("$(VENV)/half-" n % 2 ".lock")}' requirements.lock
	@$(MAKE) --no-print-directory --jobs=2 install-half-0 install-half-1
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(STAMP)

install-half-%:
	$(BIN)/python -m pip $(INSTALL) --no-deps -r $(VENV)/half-$*.lock

demo: install
	$(BIN)/sweeper launch studies/digits.yaml --results $(RESULTS)
	$(BIN)/sweeper pareto digits --results $(RESULTS)
	$(BIN)/sweeper plot digits --results $(RESULTS)
	$(BIN)/sweeper report digits --results $(RESULTS)

# Fast tests first, then those that share one Ray; in two processes, as even what starts programs mostly starts one after another.
# By file, because what the tests of a file share, such as trained networks, is made once in each process; Ray's fast tests lie
# nearly all in one. Files come in the order of tests/conftest.py, the slowest first.
PYTEST := $(BIN)/python -m pytest
BY_FILE := -n 2 --dist loadfile --no-loadscope-reorder
FAST := not ray and not long and not system

test: install
	$(PYTEST) $(BY_FILE) -m "$(FAST)"
	$(PYTEST) -n 2 --dist load -m "ray and not long"

test-long: install
	$(PYTEST) $(BY_FILE) -m "long and not ray"
	$(PYTEST) $(BY_FILE) -m "ray and long"

# What is written for other tools, read by these tools or held to their schemas: their libraries lie in an environment of their own, above that of the
# project, so that nothing else meets them.
EXPORTS := $(VENV)-exports

$(VENV)-%/.installed: requirements-%.lock $(STAMP)
	$(PYTHON) -m venv --clear --without-pip $(@D)
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
		> "$$($(@D)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/project.pth"
	$(BIN)/python -m pip --python $(@D)/bin/python $(INSTALL) -r $<
	@touch $@

test-exports: $(EXPORTS)/.installed
	$(EXPORTS)/bin/python -m pytest $(BY_FILE) tests/exports tests/cluster/test_kubernetes.py

# Hosts are namespaces of Linux, which root alone can make. Elsewhere the tests are skipped and say why. Ray's dashboard lies
# in an environment of its own, too: one test reaches for it without the token, one submits a job by it.
SYSTEM_PACKAGES := iproute2 mount util-linux slurmctld slurmd slurm-client munge openssh-server openssh-client shellcheck \
	radosgw ceph-mon ceph-osd ceph-common
CLUSTER := $(VENV)-cluster

test-system: system-packages
	$(PYTEST) $(BY_FILE) -m system tests/system

system-packages: $(CLUSTER)/.installed
	@if [ "$$(id -u)" = 0 ] && command -v apt-get > /dev/null && ! dpkg --status $(SYSTEM_PACKAGES) > /dev/null 2>&1; then \
		apt-get update --quiet=2 && \
		DEBIAN_FRONTEND=noninteractive apt-get install --quiet=2 --yes --no-install-recommends $(SYSTEM_PACKAGES) || \
		echo "Debian's packages cannot be installed here; tests that need them are skipped and say so"; \
	fi

test-all: test test-long test-exports test-system

test-fast: install
	$(PYTEST) -n 2 --dist load -m "$(FAST)"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

# Not with --quiet: with it MkDocs 1.6 counts no warnings, and --strict lets them pass.
# JupyterLab comes on top: nothing else needs it, and it is a hundred packages.
notebooks: install
	$(BIN)/python -m pip $(INSTALL) -r requirements-notebooks.lock
	$(BIN)/jupyter lab notebooks

docs: install
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Hashes of all platforms; no address of any index may stand in the file.
lock:
	$(PYTHON) -m venv $(VENV)-lock
	$(VENV)-lock/bin/python -m pip install --quiet pip-tools
	PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= $(VENV)-lock/bin/pip-compile --quiet --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe --extra dev --extra docs --output-file requirements.lock pyproject.toml
	PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= $(VENV)-lock/bin/pip-compile --quiet --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe --extra notebooks --constraint requirements.lock \
		--output-file requirements-notebooks.lock pyproject.toml
	PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= $(VENV)-lock/bin/pip-compile --quiet --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe --extra exports --extra manifests --constraint requirements.lock \
		--output-file requirements-exports.lock pyproject.toml
	PIP_CONFIG_FILE=/dev/null PIP_FIND_LINKS= $(VENV)-lock/bin/pip-compile --quiet --generate-hashes --no-header --no-annotate \
		--no-emit-index-url --no-emit-find-links --strip-extras --allow-unsafe --extra cluster --constraint requirements.lock \
		--output-file requirements-cluster.lock pyproject.toml
	rm -rf $(VENV)-lock

clean:
	rm -rf $(VENV) $(EXPORTS) $(CLUSTER)
