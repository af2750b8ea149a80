"""Search hyperparameters of a detector: `keras-deepfake tune` as a script.

What it does is in keras_deepfake_commands/tune.py.
"""

from keras_deepfake_commands import run_command


def main(arguments=None):
    run_command("tune", arguments, "tune_detector.py")


if __name__ == "__main__":
    main()
