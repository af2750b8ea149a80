"""Evaluate a saved detector on labelled images: `keras-deepfake evaluate` as a script.

What it does is in keras_deepfake_commands/evaluate.py.
"""

from keras_deepfake_commands import run_command

if __name__ == "__main__":
    run_command("evaluate")
