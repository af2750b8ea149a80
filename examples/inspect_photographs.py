"""Look for fake faces on photographs: `keras-deepfake inspect` as a script.

What it does is in keras_deepfake_commands/inspect.py.
"""

from keras_deepfake_commands import run_command

if __name__ == "__main__":
    run_command("inspect")
