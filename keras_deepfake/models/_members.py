"""What the members of a detector must be, and what they have in common."""

import keras

from keras_deepfake._arguments import check_image_size
from keras_deepfake._classes import check_class_names, find_fake
from keras_deepfake.models._encoders import accepts_any_size
from keras_deepfake.models.image_batches import image_layout
from keras_deepfake.models.model_copy import copy_model


def distinct_members(members):
    """The members; a copy of each whose name, or those of whose variables, another has too.

    The layers of a Keras model must have different names. On the torch backend parameters are
    told apart by the paths of their variables, and gradients of like ones would add up.
    """
    members = list(members) if isinstance(members, (list, tuple)) else [members]
    if not members:
        raise ValueError("`members` must hold at least one model; got none.")
    # The first two are those of the detector's own layers.
    names, paths, distinct = {"images", "combination"}, set(), []
    for place, member in enumerate(members):
        if isinstance(member, dict):
            with keras.name_scope(f"member_{place}"):
                member = keras.saving.deserialize_keras_object(member)
        _check_classifier(member)
        own = {variable.path for variable in member.variables}
        if member.name in names or own & paths:
            name = f"{member.name}_{place}"
            while name in names:
                name += "_"
            member = copy_model(member, name=name)
            own = {variable.path for variable in member.variables}
        names.add(member.name)
        paths |= own
        distinct.append(member)
    return distinct


def _check_classifier(model):
    if not isinstance(model, keras.Model) or not getattr(model, "inputs", None):
        raise ValueError(
            f"`members` must each be a Keras model that is built as a graph; got {model!r}. "
            "Give a sequential one a `keras.Input` first, and wrap a subclassed one: "
            "`keras.Model(inputs, model(inputs))` with `inputs = keras.Input(image_shape)`."
        )
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 4:
        raise ValueError(
            "`members` must take one batch of images, which has 4 axes; model "
            f"{model.name!r} takes {[tuple(x.shape) for x in model.inputs]}."
        )
    if len(model.outputs) != 1 or tuple(model.outputs[0].shape[1:]) not in ((1,), (2,)):
        raise ValueError(
            "`members` must have one output of two columns of probabilities, or one, "
            f"as detection has two classes; model {model.name!r} gives "
            f"{[tuple(x.shape) for x in model.outputs]}."
        )


def common_class_names(members, class_names, fake_class):
    """The class names that were given, or those of the first member that has any."""
    named = [member for member in members if getattr(member, "class_names", None) is not None]
    if class_names is None:
        if not named:
            raise ValueError(
                f"Nothing says which class each column of model {members[0].name!r} is. Give "
                "`class_names` in the order of the labels that it was trained on, such as "
                '("fake", "real"); a single column is the probability of the second class.'
            )
        return check_class_names(named[0].class_names, 2)
    class_names = check_class_names(class_names, 2)
    fake_index = find_fake(class_names, fake_class)
    # The others are told apart by name, as an ensemble may mix orders.
    if named and fake_column(named[0], class_names, fake_index) != fake_index:
        raise ValueError(
            f"`class_names` are {class_names}, and those of model {named[0].name!r} "
            f"{named[0].class_names}: the fake class has different places. If the model was "
            f"trained on labels in the order {class_names}, set its own: `model.class_names = "
            f"{class_names}`."
        )
    return class_names


def fake_column(member, class_names, fake_index):
    """The column, or the class number, by which a member means the fake class."""
    own = getattr(member, "class_names", None)
    if own is None:
        return fake_index
    own = check_class_names(own, 2)
    if [name.casefold() for name in own] == [name.casefold() for name in class_names]:
        return fake_index
    if getattr(member, "fake_index", None) is not None:  # of a detector
        return member.fake_index
    fake = class_names[fake_index]
    return own.index(fake) if fake in own else find_fake(own)


def common_input(members, image_size):
    """The shape of a common input, what it accepts, and the size to which images are resized."""
    shapes = [tuple(member.inputs[0].shape) for member in members]
    _, channels_first = image_layout(shapes[0])
    axis = 1 if channels_first else 3
    sizes = [shape[2:] if channels_first else shape[1:3] for shape in shapes]
    if len({shape[axis] for shape in shapes}) > 1:
        raise ValueError(f"The members must take images of the same channels; they take {shapes}.")
    takes_any = [
        None in size or accepts_any_size(member)
        for member, size in zip(members, sizes, strict=True)
    ]
    wanted = {size for size, any_size in zip(sizes, takes_any, strict=True) if not any_size}
    if image_size is not None:
        image_size = check_image_size(image_size)
        wanted.add(image_size)
    else:
        # What accepts any size was trained on some, which its input tells where it is fixed.
        wanted |= {size for size in sizes if None not in size}
    if len(wanted) > 1:
        raise ValueError(
            f"The members and `image_size` must agree on the size of the images; got "
            f"{sorted(wanted)}. A member of pooling 'avg', 'max' or 'gem', or one built with "
            "sides of `None`, takes any size; a `keras.layers.Resizing` in front brings another "
            "to one."
        )
    image_size = wanted.pop() if wanted else None
    size = image_size or (None, None)
    channels = shapes[0][axis]
    shape = (None, channels, *size) if channels_first else (None, *size, channels)
    spec = keras.layers.InputSpec(ndim=4, axes={axis: channels} if channels else None)
    return shape, spec if all(takes_any) else keras.layers.InputSpec(shape=shape), image_size
