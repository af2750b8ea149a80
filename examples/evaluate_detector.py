"""Evaluate a saved detector on labelled images and write an HTML report.

MODEL is a .keras file with one or two columns of probabilities. DATA is a folder with a folder
for each class, fake/ and real/, read recursively; sub-folders of fake/ are kinds of forgery. Use
images that neither training nor calibration has seen.
"""

import argparse
import os
import re
import sys

import keras

import keras_deepfake as kd


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="saved model, as train_detector.py writes it")
    add("data", metavar="DATA", help="folder with fake/ and real/")
    add("--output", metavar="FILE", default="report.html", help="page to write (report.html)")
    add("--audit", action="store_true", help="look for what lets a model cheat on the data")
    add("--robustness", action="store_true", help="repeat with compressed, blurred, … images")
    add(
        "--group-pattern",
        metavar="REGEX",
        help="part of a file name that names its group, such as the person; intervals need it",
    )
    add("--threshold", type=float, metavar="F", help="instead of the model's own, else 0.5")
    add("--image-size", type=int, metavar="N", help="for models of images of any size")
    return parser.parse_args(arguments)


def group_function(pattern):
    expression = re.compile(pattern)

    def group(path):
        match = expression.search(os.path.basename(path))
        if match is None:
            raise ValueError(f"--group-pattern {pattern!r} matches nothing in {path!r}.")
        return match.group()

    return group


def main(arguments=None):
    options = parse_arguments(arguments)
    image_size = options.image_size and (options.image_size, options.image_size)
    try:
        model = keras.saving.load_model(options.model, compile=False)
        index = kd.datasets.ImageIndex.from_directory(
            options.data,
            class_names=getattr(model, "class_names", ("fake", "real")),
            groups=group_function(options.group_pattern) if options.group_pattern else None,
        )
        print(f"{options.data}: {index}")
        sections = []
        if options.audit:
            audit = kd.audit.audit_dataset(index, verbose=1)
            print(f"\n{audit}\n")
            sections += kd.reports.sections(audit)
        report = kd.evaluation.evaluate_detector(
            model, index, options.threshold, image_size=image_size, verbose=1
        )
        print(f"\n{report}")
        if options.robustness:
            robustness = kd.evaluation.evaluate_robustness(
                model, index, threshold=report.threshold, image_size=image_size, verbose=1
            )
            print(f"\n{robustness}")
            sections += kd.reports.sections(robustness)
        report.save(options.output, sections=sections)
    except (ValueError, OSError, re.error) as error:
        sys.exit(f"evaluate_detector.py: {error}")
    print(f"\nReport: {options.output}")


if __name__ == "__main__":
    main()
