"""Score millions of images with a saved detector, on all cores or machines of a Ray cluster.

IN is searched recursively. OUT gets Parquet files of rows `path` (within IN), `fake` (the
probability), `verdict` and `error`: an image that cannot be read is a row with the reason. Each
replica of the detector is an actor of Ray Data that takes a shard of files at a time and writes
its rows to a file of its own, whole or not at all. An actor or machine that dies is replaced and
its shard scored by another; started again, the script scores what OUT does not hold yet, new
images of IN included. Start it once at a time for an OUT. On a cluster IN and OUT must be folders
that all machines see.

Needs Ray: pip install "keras-deepfake[ray]".
"""

import argparse
import hashlib
import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on the hardware
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent to Ray's makers


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(
        "score_at_scale.py",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("model", metavar="MODEL", help="detector saved as .keras")
    add("input", metavar="IN", help="folder of images")
    add("output", metavar="OUT", help="folder of Parquet files, made if need be")
    add("--replicas", type=int, default=1, metavar="N", help="detectors at work (default: 1)")
    add("--cpus", type=float, default=1, metavar="N", help="cores of each (default: 1)")
    add("--gpus", type=float, default=0, metavar="N", help="GPUs of each (default: 0)")
    add("--shard-size", type=int, default=1000, metavar="N", help="images a file (default: 1000)")
    options = parser.parse_args(arguments)
    if min(options.replicas, options.shard_size) < 1:
        parser.error("--replicas and --shard-size must be 1 or more")
    return options


class Scorer:
    """A replica of the detector, which scores shards of files."""

    def __init__(self, model, folder, output):
        import keras_deepfake as kd

        self.detector = kd.models.as_detector(kd.models.load_model(model))
        self.folder, self.output = folder, output

    def __call__(self, batch):
        counts = [self.score(json.loads(names)) for names in batch["names"]]
        return {"num_images": [len(c) for c in counts], "num_unread": [sum(c) for c in counts]}

    def score(self, names):
        """Write the rows of a shard; tells of each image whether it could not be read."""
        import pyarrow
        import pyarrow.parquet

        import keras_deepfake as kd

        digest = hashlib.sha256("\0".join(names).encode("utf-8", "surrogateescape")).hexdigest()
        path = pathlib.Path(self.output, f"part-{digest[:32]}.parquet")
        # An actor that died after it had written its shard is not to have it scored again.
        if not path.exists():
            paths = [os.path.join(self.folder, name) for name in names]
            predictions = kd.evaluation.predict_images(self.detector, paths)
            fake = self.detector.fake_index
            rows = [
                {
                    "path": as_text(name),
                    "fake": None if row.error else float(row.probabilities[fake]),
                    "verdict": row.verdict,
                    "error": row.error,
                }
                for name, row in zip(names, predictions, strict=True)
            ]
            text = pyarrow.string()
            schema = {"path": text, "fake": pyarrow.float32(), "verdict": text, "error": text}
            table = pyarrow.Table.from_pylist(rows, pyarrow.schema(schema))
            temporary = path.with_name(f".{path.name}.{os.getpid()}")
            pyarrow.parquet.write_table(table, temporary)
            os.replace(temporary, path)
        errors = pyarrow.parquet.read_table(path, columns=["error"])["error"]
        return [error.is_valid for error in errors]


def as_text(name):
    """A file's name as Parquet can hold it: bytes that are no UTF-8 are escaped."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def check_paths(model, folder, output):
    """Raise for what no actor could work with; return the digest of the model."""
    import keras_deepfake as kd

    if not os.path.isdir(folder):
        raise ValueError(f"IN must be a folder of images; there is no folder {folder!r}.")
    real_folder, real_output = map(os.path.realpath, (folder, output))
    if os.path.commonpath([real_folder, real_output]) == real_folder:
        raise ValueError(f"OUT must not lie in IN, whose files are scored; got {output!r}.")
    kd.models.as_detector(kd.models.load_model(model))
    with open(model, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path = pathlib.Path(output, "model.sha256")
    if path.exists() and path.read_text() != digest:
        raise ValueError(f"{output!r} holds the scores of another model; give another folder.")
    return digest


def find_shards(folder, output, size):
    """The files of which `output` holds no rows, in shards, and how many it holds rows of."""
    import pyarrow.parquet

    from keras_deepfake.datasets.image_files import walk_images

    problems = []
    found = {*walk_images(folder, "", problems)}
    # What is no image becomes a row with the reason; of a folder nobody knows what it holds.
    for path, problem in problems:
        if os.path.isdir(path):
            raise ValueError(f"{path!r}: {problem}.")
        found.add(os.path.relpath(path, folder))
    if not found:
        raise ValueError(f"there are no files in {folder!r}.")
    done = set()
    for part in pathlib.Path(output).glob("part-*.parquet"):
        done.update(pyarrow.parquet.read_table(part, columns=["path"])["path"].to_pylist())
    names = sorted(name for name in found if as_text(name) not in done)
    shards = [names[i : i + size] for i in range(0, len(names), size)]
    return shards, len(found) - len(names)


def main(arguments=None):
    options = parse_arguments(arguments)
    model, folder, output = map(os.path.abspath, (options.model, options.input, options.output))
    try:
        import ray
    except ModuleNotFoundError:
        sys.exit('score_at_scale.py: install Ray: pip install "keras-deepfake[ray]"')
    import keras

    try:
        digest = check_paths(model, folder, output)
        shards, num_done = find_shards(folder, output, options.shard_size)
        os.makedirs(output, exist_ok=True)
        pathlib.Path(output, "model.sha256").write_text(digest)
    except (ValueError, OSError) as error:
        sys.exit(f"score_at_scale.py: {error}")
    num_images = sum(map(len, shards))
    print(f"{num_images} images in {len(shards)} shards; {num_done} have been scored before.")
    num_unread = 0
    if shards:
        # Shards of lists would become tensors of objects; a string stays what it is.
        rows = ray.data.from_items(
            [{"names": json.dumps(shard)} for shard in shards], override_num_blocks=len(shards)
        )
        scored = rows.map_batches(
            Scorer,
            fn_constructor_args=(model, folder, output),
            batch_size=1,
            concurrency=options.replicas,
            num_cpus=options.cpus,
            num_gpus=options.gpus,
        )
        progress = keras.utils.Progbar(num_images, unit_name="image")
        for row in scored.iter_rows():
            num_unread += row["num_unread"]
            progress.add(row["num_images"])
    print(
        f"{output} holds the rows of {num_done + num_images} images, {num_unread} new ones unread."
    )


if __name__ == "__main__":
    main()
