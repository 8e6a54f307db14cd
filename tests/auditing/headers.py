"""Write models that consist of a header: safetensors files of any size whose data are holes that read as zeros."""

import json
import math

from auditing.written import raw

from lorantk.auditing.tensors import BITS


def model(folder, tensors, configuration=None, data=None):
    """Write ``model.safetensors`` and perhaps ``config.json``, and return the folder.

    Parameters
    ----------
    folder
        Where; it is made if it does not exist.
    tensors
        From name to shape, of type F32, or to a pair of type and shape.
    configuration
        Content of ``config.json``.
    data
        From the name of a tensor to its bytes.
    """
    folder.mkdir(parents=True, exist_ok=True)
    header, place, content = {}, 0, {}
    for name, value in tensors.items():
        dtype, shape = value if value and isinstance(value[0], str) else ("F32", value)
        end = place + math.prod(shape) * BITS[dtype] // 8
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [place, end]}
        content[place] = (data or {}).get(name, b"")
        place = end
    path, head = folder / "model.safetensors", raw(header)
    with path.open("wb") as stream:
        stream.write(head)
        for begin, own in content.items():
            stream.seek(len(head) + begin)
            stream.write(own)
        stream.truncate(len(head) + place)
    if configuration is not None:
        (folder / "config.json").write_text(json.dumps(configuration))
    return folder
