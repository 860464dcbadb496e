# make run: the main job.  make test: all tests.  Each makes the virtual environment that it needs.
.PHONY: run test lint docs bench bench-firmware bench-explore clean help

help:
	@echo "make run    judge the reference platform; reports go to reports/out/"
	@echo "make test   lint, types, imports, the built wheel, and all tests (tox)"
	@echo "make lint   the quick part of it: ruff, feature linter, imports, mypy"
	@echo "make docs   a page for each requirement, in docs/site/"
	@echo "make bench  the benchmarks, side by side; make bench-firmware those of machine code;"
	@echo "           make bench-explore the explorer's, beside SPIN and C"
	@echo "make clean  take away what the others made"

.venv/.made: pyproject.toml .ci/find-python
	@python=$$(.ci/find-python) || exit 1; \
	$$python -m venv .venv && .venv/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $@

.venv-tox/.made: .ci/find-python
	@python=$$(.ci/find-python) || exit 1; \
	$$python -m venv .venv-tox && .venv-tox/bin/python -m pip install --quiet --disable-pip-version-check 'tox>=4.22'
	@touch $@

run: .venv/.made
	.venv/bin/mpwake run

test: .venv-tox/.made
	.venv-tox/bin/tox run

lint: .venv-tox/.made
	.venv-tox/bin/tox run -e lint,imports,type

docs: .venv/.made
	.venv/bin/python docs/pages.py docs/site

bench: .venv/.made
	.venv/bin/python benchmarks/start.py
	.venv/bin/python benchmarks/model.py

bench-firmware: .venv/.made
	.venv/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[firmware]'
	.venv/bin/python benchmarks/firmware.py

bench-explore: .venv/.made
	.venv/bin/python benchmarks/explore.py

clean:
	rm -rf .venv .venv-tox .tox reports/out docs/site tests/.cache
