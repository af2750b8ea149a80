"""Ask a detector for its verdict on images: `keras-deepfake predict` as a script.

What it does is in keras_deepfake_commands/predict.py.
"""

from keras_deepfake_commands import run_command

if __name__ == "__main__":
    run_command("predict")
