"""Evaluate a saved detector on labelled images and write an HTML report.

MODEL is a .keras file with one or two columns of probabilities. DATA is a folder with a folder
for each class, such as fake/ and real/, read recursively; sub-folders of fake/ are kinds of
forgery. Use images that neither training nor calibration has seen. Without DATA synthetic faces are
drawn; figures on them say nothing about real ones.
"""

from keras_deepfake_commands._options import (
    OF_FOLDERS,
    OF_RESULT,
    OF_SIZE,
    OF_THRESHOLD,
    add_classes,
    add_index,
    add_model,
    check_output,
    read_index,
)

NUM_SYNTHETIC_FACES = 400
# Not the seed that the training draws its faces by.
SYNTHETIC_SEED = 1_000_000


def add_options(parser):
    add = parser.add_argument
    add_model(add)
    add("data", metavar="DATA", nargs="?", help="folder with two class folders")
    add(
        "--output",
        metavar="FILE",
        default="report.html",
        help="page, .html, or the figures, .json or .csv, to write (default: report.html)",
    )
    add("--audit", action="store_true", help="look for what in the files would let a model cheat")
    add(
        "--robustness",
        action="store_true",
        help="repeat with compressed, blurred, … images, several times as long",
    )
    add_classes(add, f"in the order of the model's columns, {OF_FOLDERS}")
    add_index(add, "; intervals need it")
    add("--threshold", type=float, metavar="F", help=OF_THRESHOLD)
    add("--image-size", type=int, metavar="N", help=OF_SIZE)


def run(options):
    import keras_deepfake as kd  # not above: --help need not wait for TensorFlow

    is_page = options.audit or options.robustness  # which are sections of it
    check_output(options.output, *((".html",) if is_page else OF_RESULT))
    image_size = options.image_size and (options.image_size, options.image_size)
    model = kd.models.load_model(options.model)
    names, kinds = options.class_names, None
    if options.data:
        names = names or kd.datasets.find_class_folders(
            options.data, options.fake_class, like=getattr(model, "class_names", None)
        )
        data = read_index(options.data, options, names)
        print(f"{options.data}: {data}")
    detector = kd.models.as_detector(model, names, options.fake_class, image_size)
    if not options.data:
        if options.audit:
            raise ValueError("--audit needs DATA: it is about files.")
        size = detector.image_size or (64, 64)
        faces = kd.datasets.synthetic_faces(NUM_SYNTHETIC_FACES, size, seed=SYNTHETIC_SEED)
        data = (faces.images, faces.labels.argmax(1) ^ detector.fake_index)
        kinds = faces.artifacts
    sections = []
    if options.audit:
        audit = kd.audit.audit_dataset(data, verbose=1)
        print(f"\n{audit}\n")
        sections += kd.reports.sections(audit)
    report = kd.evaluation.evaluate_detector(
        detector, data, options.threshold, kinds=kinds, verbose=1
    )
    results = [report]
    if options.robustness:
        robustness = kd.evaluation.evaluate_robustness(
            detector, data, threshold=report.threshold, verbose=1
        )
        results.append(robustness)
        sections += kd.reports.sections(robustness)
    report.save(options.output, sections=sections)
    for result in results:
        print(f"\n{result}")
    print(f"\nReport: {options.output}")
