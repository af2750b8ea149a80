"""Dividing images among parts: exact sizes, shares of every class, whole groups."""

import collections

import numpy as np

from keras_deepfake._arguments import check_number, check_seed


def check_fractions(fractions):
    """Returns positive numbers that sum to 1 as an array."""
    values = list(fractions) if isinstance(fractions, (list, tuple, np.ndarray)) else []
    try:
        numbers = [check_number("fractions", value, above=0) for value in values]
    except ValueError:
        numbers = []
    if abs(sum(numbers) - 1) > 1e-6:
        raise ValueError(f"`fractions` must be positive numbers that sum to 1; got {fractions!r}.")
    return np.array(numbers)


def check_positions(positions, count):
    """Returns positions among `count` images, or where a mask of them is true, as an array."""
    found = np.asarray(list(positions) if hasattr(positions, "__iter__") else positions)
    if found.dtype == bool and found.shape == (count,):
        found = np.flatnonzero(found)
    if found.size == 0 and found.ndim == 1:
        return found.astype("int64")
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise ValueError(
            f"`positions` must be integers, or {count} Booleans; got {found.dtype} of shape "
            f"{found.shape}."
        )
    if found.min() < -count or found.max() >= count:
        raise ValueError(
            f"`positions` must be below {count}, the number of images; got {found.min()} to "
            f"{found.max()}."
        )
    return found


def shuffler(seed):
    """Returns a function that puts an array in an order which depends on nothing but the seed."""
    # NumPy promises that the raw numbers of a bit generator never change; it makes no such
    # promise for `Generator.permutation`, and splits must outlive a NumPy release.
    bits = np.random.PCG64(check_seed(seed))

    def shuffle(positions):
        return positions[np.argsort(bits.random_raw(len(positions)), kind="stable")]

    return shuffle


def allocate(counts, fractions):
    """Divides the images of every class among the parts, rounding by largest remainder.

    Returns:
        Integer array of shape `(classes, parts)`. Its column sums are the largest-remainder
        sizes of the parts, its row sums are `counts`, and every entry is its exact share
        rounded down or up.
    """
    # Rounded, lest 0.29 * 100 = 28.999... counts as 28 and a large remainder.
    total = np.round(sum(counts) * np.asarray(fractions), 6)
    sizes = np.floor(total)
    sizes[np.argsort(sizes - total, kind="stable")[: int(sum(counts) - sizes.sum())]] += 1
    shares = np.round(np.outer(counts, fractions), 6)
    cells = np.floor(shares)
    for count, cell, share in zip(counts, cells, shares, strict=True):
        # Giving to the parts that lack most always ends with every part full (Gale, Ryser).
        lacking = sizes - cells.sum(axis=0)
        order = np.lexsort((cell - share, -lacking))
        cell[order[: int(count - cell.sum())]] += 1
    return cells.astype("int64")


def split_groups(group_of, members, sizes, shuffle):
    """Divides whole groups among the parts.

    Args:
        group_of: Sequence with the group of every image.
        members: List of the positions of every class.
        sizes: What `allocate` returned.
        shuffle: What `shuffler` returned.

    Returns:
        List of integer arrays, the positions of every part.
    """
    strata = np.empty(len(group_of), "int64")
    for stratum, positions in enumerate(members):
        strata[positions] = stratum
    groups = collections.defaultdict(list)
    for position, group in enumerate(group_of):
        groups[group].append(position)
    groups = list(groups.values())
    groups = [groups[i] for i in shuffle(np.arange(len(groups)))]
    # Small groups come last, to level out what the large ones left uneven.
    groups.sort(key=len, reverse=True)
    counts_of = [np.bincount(strata[group], minlength=len(members)) for group in groups]
    wanted = sizes.T.astype("float64")
    totals = np.maximum(wanted.sum(axis=1), 1)
    parts = [[] for _ in wanted]
    for place, (group, counts) in enumerate(zip(groups, counts_of, strict=True)):
        room = wanted.sum(axis=1)
        # A part is overfilled only where the group fits nowhere, and then by less than the
        # group, which keeps every size exact to within one group. Among those with room,
        # the one that lacks these classes most for its size.
        fits = room >= len(group)
        need = wanted @ counts / totals
        chosen = np.argmax(np.where(fits, need, -np.inf) if fits.any() else room)
        wanted[chosen] -= counts
        parts[chosen].append(place)
    part_sizes = sizes.sum(axis=0)
    given = [
        _give_stratum(parts, part, stratum, counts_of, part_sizes)
        for part, stratum in np.argwhere(sizes.T > 0)
    ]
    if any(given) and (sizes > 0).all():
        # Every part has all strata, and the largest is for the largest share.
        parts.sort(key=lambda part: -sum(len(groups[place]) for place in part))
        ranks = np.argsort(np.argsort(-part_sizes, kind="stable"))
        parts = [parts[rank] for rank in ranks]
    return [
        np.array([position for place in part for position in groups[place]], "int64")
        for part in parts
    ]


def _give_stratum(parts, part, stratum, counts_of, sizes):
    """Moves a group that no other part needs to a part without this stratum.

    Of all such groups it is the one after which the two parts are nearest to their sizes. Returns
    whether there was one.
    """

    def held(places):
        return sum((counts_of[place] for place in places), np.zeros_like(counts_of[0]))

    if held(parts[part])[stratum]:
        return False
    excess = [held(places).sum() - size for places, size in zip(parts, sizes, strict=True)]
    spare = [
        (_off(excess[part], excess[other], counts_of[place].sum()), other, place)
        for other, places in enumerate(parts)
        for place in places
        if counts_of[place][stratum]
        and ((held(places) - counts_of[place] > 0) == (held(places) > 0)).all()
    ]
    if spare:
        _, other, place = min(spare)
        parts[other].remove(place)
        parts[part].append(place)
    return bool(spare)


def _off(taker, giver, moved):
    return max(abs(taker + moved), abs(giver - moved))


def check_parts(index, fractions, parts):
    """Raises if a part of a split is empty, or lacks all classes but one."""
    groups = "" if index.groups is None else f" in {len(set(index.groups))} groups"
    # Not the name of an argument: recipes split too, by shares of their own.
    shares = f"Shares of {', '.join(f'{fraction:g}' for fraction in fractions)}"
    for fraction, part in zip(fractions, parts, strict=True):
        if not len(part):
            raise ValueError(
                f"{shares} leave the part of {fraction:g} empty: there are only {len(index)} "
                f"images{groups}. Use fewer or larger parts, or more images."
            )
    if index.labels is None or len(set(index.labels)) == 1:
        return
    for fraction, part in zip(fractions, parts, strict=True):
        if len(set(index.labels[part])) == 1:
            raise ValueError(
                f"{shares} leave the part of {fraction:g} with images of "
                f"{index.class_names[index.labels[part[0]]]!r} only, out of {index!r}. Use fewer "
                f"or larger parts, {'smaller groups' if groups else 'stratify=True'}, or more "
                "images of the other classes."
            )
