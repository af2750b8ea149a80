"""Cut the faces out of photographs: `keras-deepfake crop` as a script.

What it does is in keras_deepfake_commands/crop.py.
"""

from keras_deepfake_commands import run_command

if __name__ == "__main__":
    run_command("crop")
