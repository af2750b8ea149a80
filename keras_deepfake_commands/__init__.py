"""The commands of `keras-deepfake`, which the scripts in examples/ call too.

They stand beside the package, since importing any module of it imports Keras and its backend,
for which `--help` need not wait. A command is a module of its name here, whose docstring is its
help, with `add_options(parser)` and `run(options)`; these import the package within.
"""

import argparse
import importlib
import io
import os
import sys

from keras_deepfake_commands._options import check_model

COMMANDS = {
    "train": "train a detector of fake faces",
    "predict": "ask a detector for its verdict on images or photographs",
    "evaluate": "evaluate a detector on labelled images",
    "audit": "look for what in the files would let a model cheat",
    "inspect": "write a page of photographs with their faces framed and judged",
    "crop": "cut the faces out of photographs",
    "tune": "search hyperparameters",
    "export": "write a detector as ONNX, LiteRT or SavedModel",
}
INTERRUPTED, BROKEN_PIPE = 130, 141  # of shells: 128 and the number of the signal


def main(arguments=None):
    """Run the command that the first argument names; list the commands where there is none."""
    name, *rest = (sys.argv[1:] if arguments is None else arguments) or [None]
    width = max(map(len, COMMANDS))
    listed = "\n".join(f"  {command:{width}}  {line}" for command, line in COMMANDS.items())
    usage = f"usage: keras-deepfake COMMAND ...\n\n{listed}\n\nkeras-deepfake COMMAND --help: more"
    if name in (None, "-h", "--help"):
        print(usage)
    elif name not in COMMANDS:
        print(f"{usage}\n\nkeras-deepfake: there is no command {name!r}.", file=sys.stderr)
        sys.exit(2)
    else:
        run_command(name, rest, f"keras-deepfake {name}")


def run_command(name, arguments=None, prog=None):
    """Parse the arguments of a command, run it, and end with a message of one line if it fails.

    Args:
        name: One of `COMMANDS`.
        arguments: List of strings; by default those of the process.
        prog: How the command is called, for its help and messages; by default as the process.
    """
    arguments = sys.argv[1:] if arguments is None else list(arguments)
    # A name that the terminal cannot show is not to end what has run for hours.
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on the hardware
    command = importlib.import_module(f"keras_deepfake_commands.{name}")
    parser = argparse.ArgumentParser(
        prog, description=command.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.add_options(parser)
    options = parser.parse_args(arguments)
    # The same once more, for other processes to run.
    options.command = [sys.executable, "-m", __name__, name, *arguments]
    try:
        check_model(options)
        command.run(options)
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads the output, such as `head`, has enough of it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(BROKEN_PIPE)
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        message = str(error).replace("`overwrite=True`", "--overwrite")
        message = message.replace('on_error="skip"', "--skip-unreadable")
        sys.exit(f"{parser.prog}: {message}")
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: interrupted", file=sys.stderr)
        sys.exit(INTERRUPTED)
