# Every target sets up all that it needs first; a second time that takes a second.

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint clean

# Another Python or ROS environment that is active in the shell must not leak into ours.
unexport PYTHONPATH PYTHONHOME AMENT_PREFIX_PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE
unexport PYTHONDONTWRITEBYTECODE  # processes would compile torch again, each for itself

help:  ## Show this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-6s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup:  ## Install system packages, Python packages, ROS 2 and the interfaces (into .venv)
	@tools/setup.sh

demo: setup  ## A simulated arm picks caps where it was taught on one: film, table (DATA=own frames)
	.venv/bin/dense-desc $(if $(DATA),demo-learning --data '$(DATA)',demo)

test: setup  ## Run the tests, a file on each processor
	.venv/bin/python -m pytest --numprocesses logical --maxprocesses 8 --dist loadfile --no-loadscope-reorder

lint: setup  ## Check style and types
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

clean:  ## Remove the environment, builds, caches and the demonstration's results
	rm -rf .venv build install log demo *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
