"""`python -m keras_deepfake_commands` is `keras-deepfake`."""

from keras_deepfake_commands import main

main()
