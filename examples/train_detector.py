"""Train a detector of fake faces: `keras-deepfake train` as a script.

What it does is in keras_deepfake_commands/train.py.
"""

from keras_deepfake_commands import run_command

if __name__ == "__main__":
    run_command("train")
