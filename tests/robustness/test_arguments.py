"""Wrong arguments are refused by a message that names them, and at once."""

import collections

from tests.robustness.fuzz_arguments import fuzz

# Of all combinations of a name, an argument and a value; `python -m
# tests.robustness.fuzz_arguments` runs the rest.
SHARE = 0.05
# Of all combinations 0.3 % end in a message from deep inside, and 1.5 % in one that does not name
# the argument, most of them about what is in a data set.
MOST_OBSCURE, MOST_NAMELESS = 0.02, 0.04

# The arguments for which a value is not wrong, by the label of the value.
ACCEPTED = {
    "none": """abstain activation autoencoder ax axes blur cache cache_features callbacks class_name
        class_names clip columns comparison_images conformal_bounds corruption corruptions
        data_format faces l2
        degradation dtype encoder fake_class false_positive_rate groups hyperparameters
        image_size index jpeg kernel_initializer kinds labels layer like metrics
        miscoverage name normalization num_bins output_activation pooling
        pretraining_dataset resize seed threshold titles unlabelled until validation_data
        rank weights window y""",
    "zero": """bias class_id copies corruption_rate dropout epoch l1 l2 margin pretraining_epochs
        probability rate scores seed shuffle_buffer threshold verbose""",
    "negative": "bias",
    "numpy_integer": "bias",
    "fraction": "bias clip epsilon l1 l2 learning_rate margin p",
    "billion": """batch_size bias clip columns epoch epochs_autoencoder epochs_classifier epsilon l1
        l2 p patch_size pretraining_epochs seed shuffle_buffer""",
    "true": """cache_features copy_encoder cross_channel elementwise half_scale overwrite
        return_masks scores standardize stratify symmetric trainable_encoder tunable use_bias""",
    "text": "cache directory images label name output path photographs title",
    "empty_text": "images label photographs name title",
    "path": "cache directory images output path photographs",
    "function": "activation callbacks draw output_activation",
    "class": "draw",
    "list": "encoder images scores sections validation_digests",
    "dict": "corruptions metrics",
    "set": "images",
    "none_list": "corruption normalization",
    "mixed_list": "titles",
    "numbers": "batch_size filters l1 l2 orders steps",
    "nan_pair": "titles",
    "reversed_pair": "titles",
    "empty_array": "scores",
    "high_rank": "scores",
    "text_array": "class_names photographs titles",
}
# What these are handed on to decides.
ANYTHING = {("callbacks.EpochPictures", "images"), ("models.as_detector", "data")}


def is_nonsense(result):
    if (result["call"], result["argument"]) in ANYTHING:
        return False
    return result["argument"] not in ACCEPTED.get(result["value"], "").split()


def test_wrong_arguments_are_refused_by_name():
    found = collections.defaultdict(list)
    results = fuzz(SHARE)
    for result in results:
        outcome = result["outcome"]
        if outcome == "accepted" and is_nonsense(result):
            outcome = "nonsense"
        found[outcome].append(tuple(result[key] for key in ("call", "argument", "value")))
    assert len(results) > 400
    for outcome in ("hang", "ended the process", "not finite", "nonsense"):
        assert not found[outcome], outcome
    obscure = found["bare"] + found["obscure"]
    assert len(obscure) <= MOST_OBSCURE * len(results), obscure
    assert len(found["nameless"]) <= MOST_NAMELESS * len(results), found["nameless"]
