"""Search hyperparameters of a detector: `keras-deepfake tune` as a script.

What it does is in keras_deepfake_commands/tune.py.
"""

from keras_deepfake_commands import run_command

if __name__ == "__main__":
    run_command("tune")
