"""Write a detector as an artifact without Keras: `keras-deepfake export` as a script.

What it does is in keras_deepfake_commands/export.py.
"""

from keras_deepfake_commands import run_command

if __name__ == "__main__":
    run_command("export")
