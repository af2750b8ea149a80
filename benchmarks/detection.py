"""What detectors reach on one data set: the same splits, intervals, robustness, other data.

Every row is trained once for each seed, and tested on images that it never saw. A seed has test
images of its own, a fifth of the groups, apart from those of the other seeds. A tenth chooses the
epoch of networks that are trained here, and calibrates every detector; the rest trains. Images are
changed at the size of their files. Of several seeds the table has the means.

One line of JSON for every row and seed goes into the file of results, and what is there already is
not run again, so that a run can be killed and goes on where it was. `--table` prints the Markdown
of such a file. Features of an encoder are computed once for all rows that use it, and kept in a
folder beside the results.

Without --data the faces are synthetic: such figures mean nothing about photographs.
"""

import argparse
import json
import re
from pathlib import Path

import keras
import numpy as np
from detection_rows import CHANGES, ROWS, Encodings, Split, images_a_second
from detection_table import markdown, reports

import keras_deepfake as kd
from keras_deepfake._files import atomic_write
from keras_deepfake.evaluation.calibration import calibrated_detector
from keras_deepfake.models.log_odds import sigmoid

SYNTHETIC_FACES, SYNTHETIC_SIDE = 400, 64


def read_index(folder, pattern=None):
    groups = re.compile(pattern) if pattern else None
    return kd.datasets.ImageIndex.from_directory(folder, groups=groups).balanced(seed=0)


def draw_faces(folder):
    if not folder.exists():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        faces = kd.datasets.synthetic_faces(SYNTHETIC_FACES, (SYNTHETIC_SIDE, SYNTHETIC_SIDE))
        for number, (image, artifact) in enumerate(zip(faces.images, faces.artifacts, strict=True)):
            part = unfinished / ("real" if artifact == "none" else "fake")
            part.mkdir(parents=True, exist_ok=True)
            keras.utils.save_img(part / f"{number:05d}.png", image, scale=False)
        unfinished.rename(folder)
    return folder


def split_index(index, seed):
    """Tests of different seeds share no image and no group."""
    place = {path: position for position, path in enumerate(index.paths)}
    tenths = [
        np.array([place[path] for path in part.paths]) for part in index.split([0.1] * 10, seed=0)
    ]
    tenths = tenths[2 * seed :] + tenths[: 2 * seed]
    return Split(index, seed, np.concatenate(tenths[3:]), tenths[2], np.concatenate(tenths[:2]))


def measure(name, encodings, split, other=None):
    """Train a row, and score the test part, changed copies of it, and other data."""
    members = ROWS[name].make(encodings, split)

    def log_odds(index, positions, change=None):
        return np.stack([m.log_odds(index, positions, change) for m in members], axis=1)

    detector = kd.models.Detector([m.classifier for m in members], split.index.class_names)
    is_fake = split.index.labels[split.validation] == detector.fake_index
    known = log_odds(split.index, split.validation)
    detector = calibrated_detector(detector, is_fake, known, seen=set())

    def scored(part, changes=()):
        scores = {}
        for change in (None, *changes):
            total = log_odds(part.index, part.test, change) @ detector.member_weights
            scores[change or "unchanged"] = sigmoid(detector.bias + total).round(6).tolist()
        _, groups = np.unique(part.groups(part.test), return_inverse=True)
        is_fake = part.index.labels[part.test] == detector.fake_index
        return {"is_fake": is_fake.tolist(), "groups": groups.tolist(), "scores": scores}

    return {
        "images": [len(split.train), len(split.validation), len(split.test)],
        "parameters": detector.count_params(),
        "seconds": round(sum(member.seconds for member in members), 1),
        "images_a_second": round(images_a_second(detector, split), 1),
        "threshold": detector.threshold,
        "test": scored(split, CHANGES),
        "other": other and scored(split._replace(index=other, test=np.arange(len(other)))),
    }


def read_records(file):
    return [json.loads(text) for text in file.read_text().splitlines()] if file.exists() else []


def main(argv=None):
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, metavar="FOLDER", help="folder with fake/ and real/")
    parser.add_argument("--name", help="what the data is called in the table")
    parser.add_argument(
        "--group-pattern", metavar="REGEX", help="what it finds in a file name is the group"
    )
    parser.add_argument("--other-data", type=Path, metavar="FOLDER", help="to be tested on too")
    parser.add_argument("--other-name", help="what that is called")
    parser.add_argument("--other-images", type=int, default=400)
    parser.add_argument("--encoder", help="a .keras file, or a network of keras.applications")
    parser.add_argument("--token-encoder", help="a .keras file with layers block_4 to block_8")
    parser.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", help=", ".join(ROWS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2], choices=range(5))
    parser.add_argument("--results", type=Path, default=Path("detection.jsonl"))
    parser.add_argument("--table", action="store_true", help="print the table, and run nothing")
    arguments = parser.parse_args(argv)
    if arguments.table:
        print(markdown(read_records(arguments.results)))
        return

    can_run = [
        name for name, row in ROWS.items() if all(getattr(arguments, need) for need in row.needs)
    ]
    names = arguments.rows or can_run
    if lacking := [name for name in names if name not in can_run]:
        parser.error(f"--encoder or --token-encoder must be given for {', '.join(lacking)}")
    folder = arguments.results.with_suffix(".features")
    data = arguments.data or draw_faces(folder / "synthetic faces, nothing about photographs")
    called = arguments.name or data.name
    index, other = read_index(data, arguments.group_pattern), None
    if arguments.other_data:
        other = read_index(arguments.other_data)
        other = other.subset(min(1, arguments.other_images / len(other)), seed=0)
    encodings = Encodings(folder, arguments.encoder, arguments.token_encoder)
    for seed in arguments.seeds:
        split = split_index(index, seed)
        for name in names:
            records = read_records(arguments.results)
            if any((called, name, seed) == (r["data"], r["row"], r["seed"]) for r in records):
                continue
            print(f"{called}: {ROWS[name].title}, seed {seed}", flush=True)
            record = {"data": called, "row": name, "seed": seed}
            record["other_data"] = other and (arguments.other_name or arguments.other_data.name)
            record |= measure(name, encodings, split, other)
            with atomic_write(arguments.results) as file:
                file.writelines(json.dumps(one) + "\n" for one in (*records, record))
            print(f"  AUC {reports(record)['unchanged'].metrics['auc']:.3f}", flush=True)


if __name__ == "__main__":
    main()
