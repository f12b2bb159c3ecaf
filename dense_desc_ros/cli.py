"""The command `dense-desc`: thin shells around the package, loaded when they are called."""

import sys

import typer

from dense_desc_ros.commands.benchmark import benchmark
from dense_desc_ros.commands.compare import compare
from dense_desc_ros.commands.demo import demo, demo_learning
from dense_desc_ros.commands.endurance import kills, soak, storm
from dense_desc_ros.commands.evaluate import evaluate
from dense_desc_ros.commands.export import export
from dense_desc_ros.commands.generate import generate
from dense_desc_ros.commands.label import label
from dense_desc_ros.commands.match import match
from dense_desc_ros.commands.recording import play, record, record_topics
from dense_desc_ros.commands.replay import replay
from dense_desc_ros.commands.train import train
from dense_desc_ros.errors import DenseDescError
from dense_desc_ros.waiting_threads import sleep_while_waiting

app = typer.Typer(
    help='Dense visual descriptors for grasping: "here" shown once, found on every later object.',
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
LEARNING = (generate, train, evaluate, export, match)
RECORDINGS = (record, record_topics, play, label, replay, compare)
for command in (*LEARNING, *RECORDINGS, demo, demo_learning):
    app.command()(command)
for endured in (soak, storm, kills):
    benchmark.command()(endured)
app.add_typer(benchmark, name="benchmark")


def main() -> None:
    """Run the command line; what the user can mend ends in one line and exit code 2."""
    sleep_while_waiting()
    try:
        app()
    except (DenseDescError, OSError) as error:  # a full disk, a file that may not be read
        typer.echo(f"error: {error}", err=True)
        sys.exit(2)


if __name__ == "__main__":
    main()
