"""The Markdown of what `detection.py` measured."""

import numpy as np
from detection_rows import CHANGES, ROWS

from keras_deepfake.evaluation import detection_report
from keras_deepfake.evaluation.bootstrap import percentile_interval, smaller_class


def reports(record, part="test"):
    """A `DetectionReport` for each change of the images."""
    data = record[part]
    return {
        change: detection_report(
            data["is_fake"],
            scores,
            groups=data["groups"],
            threshold=record["threshold"],
            seed=record["seed"],
        )
        for change, scores in data["scores"].items()
    }


def markdown(records):
    """Two tables for each data set."""
    return "\n".join(
        text
        for data in dict.fromkeys(record["data"] for record in records)
        for text in _tables(data, [record for record in records if record["data"] == data])
    )


def _tables(data, records):
    runs = {
        name: {r["seed"]: r for r in sorted(records, key=lambda r: r["seed"]) if r["row"] == name}
        for name in ROWS
    }
    tests = {
        name: {seed: reports(record) for seed, record in seeds.items()}
        for name, seeds in runs.items()
    }
    base = max(ROWS, key=lambda name: len(runs[name]))  # the first of those with the most seeds
    train, validation, test = records[0]["images"]
    yield f"### {data}\n"
    yield f"About {train} images to train on, {validation} to calibrate on, {test} to test on.\n"
    difference = f"AUC less that of “{ROWS[base].title}”"
    heads = ["detector", "seeds", "parameters", "training, s", "images/s", "AUC", difference]
    yield from _head([*heads, "accuracy", "TPR at 1 % FPR"])
    for name, seeds in runs.items():
        cells = ["not run", *[""] * 7]
        if seeds:
            mine = [report["unchanged"] for report in tests[name].values()]
            cells = [
                ", ".join(map(str, seeds)),
                f"{next(iter(seeds.values()))['parameters']:,}".replace(",", " "),
                f"{np.mean([record['seconds'] for record in seeds.values()]):.0f}",
                f"{np.mean([record['images_a_second'] for record in seeds.values()]):.0f}",
                _with_interval(mine, "auc"),
                _difference(tests[name], tests[base]) if name != base else "",
                _with_interval(mine, "accuracy"),
                _with_interval(mine, "tpr_at_fpr_1"),
            ]
        yield _line([ROWS[name].title, *cells])
    elsewhere = list(dict.fromkeys(r["other_data"] for r in records if r["other_data"]))
    yield ""
    yield from _head(["AUC / accuracy", "unchanged", *CHANGES, *elsewhere])
    for name, seeds in runs.items():
        if seeds:
            changes = [
                [report[change] for report in tests[name].values()]
                for change in ("unchanged", *CHANGES)
            ]
            others = [
                [reports(r, "other")["unchanged"] for r in seeds.values() if r["other_data"] == one]
                for one in elsewhere
            ]
            yield _line([ROWS[name].title, *map(_auc_and_accuracy, changes + others)])
    yield ""


def _with_interval(several, metric, others=None, sign=""):
    """The mean over seeds, whose test images are different ones, and its interval."""
    values = [np.append(r.metrics[metric], r.resamples[metric]) for r in several]
    if others is not None:
        values = np.subtract(
            values, [np.append(r.metrics[metric], r.resamples[metric]) for r in others]
        )
    value, *resamples = np.mean(values, axis=0)
    groups = sum(smaller_class(r.group_numbers, r.is_fake, ~r.is_fake) for r in several)
    low, high = percentile_interval(np.array(resamples), groups)
    return f"{value:{sign}.3f} ({low:{sign}.3f} to {high:{sign}.3f})"


def _difference(tests, base):
    """Paired, on the seeds that both were run with."""
    pairs = [(tests[s]["unchanged"], base[s]["unchanged"]) for s in tests if s in base]
    if not pairs:
        return ""
    mine, others = zip(*pairs, strict=True)
    return _with_interval(mine, "auc", others, "+")


def _auc_and_accuracy(several):
    names = ("auc", "accuracy") if several else ()
    return " / ".join(f"{np.mean([r.metrics[name] for r in several]):.3f}" for name in names)


def _head(names):
    return [_line(names), "|" + "---|" * len(names)]


def _line(cells):
    return f"| {' | '.join(cells)} |"
