"""What calibration warns of, which belongs on the page of a run."""

import warnings


def with_notes(calibrate, *arguments, **options):
    """Call a function of calibration, and return what it gives with the texts of its warnings.

    Warnings of other kinds are passed on.
    """
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        detector = calibrate(*arguments, **options)
    for warning in caught:
        if warning.category is not UserWarning:
            warnings.warn_explicit(
                warning.message, warning.category, warning.filename, warning.lineno
            )
    return detector, [str(w.message) for w in caught if w.category is UserWarning]
