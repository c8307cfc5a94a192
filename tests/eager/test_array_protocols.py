"""Eager tensors among NumPy, Python and other libraries: protocols without copies, NumPy's functions, numbers, texts, copies."""

import copy
import pickle
import sys

import numpy as np
import pytest

import graphflow as gf
from graphflow.errors import DTypeError, ModeError, ShapeError


@pytest.fixture(autouse=True)
def eager_mode():
    with gf.eager():
        yield


def make(values=((1.0, 2.0), (3.0, 4.0)), dtype="float32"):
    return gf.constant(np.asarray(values, dtype)) * gf.constant(np.asarray(1, dtype))


def address(array):
    return array.__array_interface__["data"][0]


# --- memory ------------------------------------------------------------------------------------------------------------


def test_others_read_the_memory_without_a_copy_and_cannot_write_to_it():
    t = make()
    for seen in (np.asarray(t), t.numpy(), np.from_dlpack(t)):
        assert address(seen) == address(t.array)
        assert not seen.flags.writeable
    assert np.asarray(t, np.float64).dtype == np.float64
    assert address(np.array(t, copy=True)) != address(t.array)
    with pytest.raises(ValueError, match="copy"):
        np.asarray(t, np.float64, copy=False)
    if sys.version_info >= (3, 12):
        assert memoryview(t).readonly and address(np.frombuffer(t, np.float32)) == address(t.array)
    else:
        assert memoryview(t.numpy()).readonly


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint64", "float16", "float64", "complex64"])
def test_dlpack_goes_both_ways_without_a_copy(dtype):
    t = make([1, 0], dtype) if dtype != "bool" else gf.constant([True, False])
    back = gf.from_dlpack(t)
    assert back.dtype == t.dtype and address(back.array) == address(t.array)

    class Old:  # a consumer that knows nothing of memory that is only read
        __dlpack_device__ = t.__dlpack_device__

        def __dlpack__(self, **_):
            return t.__dlpack__()

    assert address(np.from_dlpack(Old())) == address(t.array)
    assert address(gf.from_dlpack(t, copy=True).array) != address(t.array)


def test_dlpack_with_pytorch():
    torch = pytest.importorskip("torch")
    t, theirs = make(), torch.arange(6.0).reshape(2, 3)
    assert torch.from_dlpack(t).data_ptr() == address(t.array)
    assert address(gf.from_dlpack(theirs).array) == theirs.data_ptr()


def test_dlpack_with_jax():
    jax = pytest.importorskip("jax")
    theirs = jax.numpy.arange(6.0)
    assert address(gf.from_dlpack(theirs).array) == theirs.unsafe_buffer_pointer()
    t = gf.constant(np.zeros(64, np.float32)) + 1.0
    assert jax.dlpack.from_dlpack(t).sum() == 64


# --- NumPy's functions -------------------------------------------------------------------------------------------------


def test_numpys_functions_give_tensors_that_the_tape_sees():
    t = make()
    with gf.GradientTape() as tape:
        tape.watch(t)
        y = np.sum(np.array([1.0, 2.0], np.float32) * np.exp(t), axis=0)
        y = np.concatenate([y, np.multiply.reduce(t)])
    assert isinstance(y, gf.Tensor)
    a = t.numpy()
    np.testing.assert_allclose(y, [*np.sum([1.0, 2.0] * np.exp(a), 0), *a.prod(0)], rtol=1e-6)
    np.testing.assert_allclose(tape.gradient(y, t), [1.0, 2.0] * np.exp(a) + a.prod(0) / a, rtol=1e-6)


def test_numpys_functions_build_graphs():
    with gf.Graph().as_default():
        x = gf.placeholder(gf.float32, [None, 2])
        y = np.mean(np.tanh(np.ones(2, np.float32) * x), axis=1)
        assert y.shape == x.shape[:1]
        with gf.Session() as session:
            np.testing.assert_allclose(session.run(y, {x: [[1.0, 1.0]]}), [np.tanh(1.0)], rtol=1e-6)


def test_results_are_written_into_arrays_not_into_tensors():
    t, out = make(), np.zeros((2, 2), np.float32)
    assert np.add(t, 1.0, out=out) is out
    np.testing.assert_array_equal(out, t.numpy() + 1)
    out += t
    np.testing.assert_array_equal(out, 2 * t.numpy() + 1)
    assert np.negative(t, out=out, where=t > 1.5) is out and out[0, 0] == 3.0 and out[1, 1] == -4.0
    with pytest.raises(ModeError, match="out= is a tensor"):
        np.add(t, 1.0, out=t)
    with pytest.raises(ModeError, match="where= without out="):
        np.add(t, 1.0, where=[True, False])


def test_what_numpy_alone_can_do_it_does_with_values_that_no_tape_watches():
    t = make()
    for call in (np.histogram, np.heaviside, np.column_stack, np.ediff1d):
        operands = ([t, t],) if call is np.column_stack else (t, 0.5) if call is np.heaviside else (t,)
        values = ([t.numpy()] * 2,) if call is np.column_stack else (t.numpy(), *operands[1:])
        np.testing.assert_array_equal(call(*operands)[0], call(*values)[0])
        with gf.GradientTape() as tape, pytest.raises(ModeError, match=f"np.{call.__name__} has no gradient"):
            tape.watch(t)
            call(*operands)
    with gf.Graph().as_default(), pytest.raises(ModeError, match=r"np\.histogram has no gradient and no graph"):
        np.histogram(gf.placeholder(gf.float32, [None]))
    with pytest.raises(ValueError, match="read-only"):
        np.add.at(t, 0, 1)
    assert np.may_share_memory(t, t.numpy()) and np.result_type(t, np.float64) == np.float64
    np.testing.assert_array_equal(np.add.outer(t[0], t[0]), np.add.outer(t[0].numpy(), t[0].numpy()))
    np.testing.assert_array_equal(np.maximum.reduce(t, axis=1), [2.0, 4.0])


# --- Python ------------------------------------------------------------------------------------------------------------


def test_equality_compares_elements_and_hashes_go_by_identity():
    t = make()
    np.testing.assert_array_equal(t == 2.0, [[False, True], [False, False]])
    np.testing.assert_array_equal(t != t.numpy(), np.zeros((2, 2), bool))
    assert (t == None) is False and (t == "text") is False  # noqa: E711
    assert {t: "found"}[t] == "found" and hash(t) != hash(make())
    assert 3.0 in t and 5.0 not in t
    with gf.Graph().as_default():
        x, c = gf.placeholder(gf.float32, []), gf.constant(1.0)
        assert (x == x) is True and (x == 1.0) is False
        assert (c == c) is True and (c == gf.constant(1.0)) is False and c in [x, c]


def test_scalars_are_pythons_numbers():
    t = make()
    assert (int(t[0, 0]), float(t[1, 0]), complex(t[0, 1]), t[1, 1].item(), t.item(3)) == (1, 3.0, 2 + 0j, 4.0, 4.0)
    assert [10, 20, 30][gf.constant(1)] == 20 and t.tolist() == [[1.0, 2.0], [3.0, 4.0]]
    assert len(t) == 2 and [row.shape for row in t] == [(2,), (2,)]
    assert gf.constant(1.5, gf.bfloat16).item() == 1.5
    assert [float(x) for x in divmod(gf.constant(7.5), 2.0)] == [3.0, 1.5] and float(
        round(gf.constant(2.567), 1)
    ) == pytest.approx(2.6)
    assert sum(t).tolist() == [4.0, 6.0] and max(t[0, 0], t[1, 1]).item() == 4.0
    for call in (lambda: float(t), lambda: len(t[0, 0]), lambda: iter(t[0, 0]), t.item):
        with pytest.raises(ShapeError):
            call()
    with pytest.raises(DTypeError, match="no index"):
        [1, 2][t[0, 0]]


def test_text_is_numpys_with_type_and_device():
    t = make()
    assert str(t) == str(t.numpy())
    assert repr(t) == "gf.Tensor([[1., 2.],\n           [3., 4.]], dtype=float32, device=cpu)"
    assert repr(gf.zeros([0, 3])) == "gf.Tensor([], shape=(0, 3), dtype=float32, device=cpu)"
    assert f"{t[1, 0]:.2f}" == "3.00" and f"{t}" == str(t)


def test_values_never_change_and_copies_are_the_tensor():
    t = make()
    before = u = t
    t += 1.0
    assert u is before and float(u[0, 0]) == 1.0 and float(t[0, 0]) == 2.0
    with pytest.raises(ModeError, match="tensor_scatter_nd_update"):
        t[0] = 1.0
    assert copy.copy(t) is t and copy.deepcopy([t])[0] is t


def test_pickling():
    for t in (make(), gf.constant([1, 2]), gf.constant([0.5], gf.bfloat16)):
        back = pickle.loads(pickle.dumps(t))
        assert back.type == t.type and back.tolist() == t.tolist() and back.constant == t.constant
    v = gf.Variable([1.0, 2.0], trainable=False, name="w")
    for back in (pickle.loads(pickle.dumps(v)), copy.deepcopy(v)):
        v.assign([5.0, 6.0])
        assert isinstance(back, gf.Variable) and back.name == "w" and not back.trainable and back.tolist() == [1.0, 2.0]
        v.assign([1.0, 2.0])
    with gf.Graph().as_default(), pytest.raises(ModeError, match="symbolic"):
        pickle.dumps(gf.placeholder(gf.float32, []))


def test_variables_are_taken_like_their_values():
    v = gf.Variable([1.0, 2.0])
    assert np.exp(v).shape == (2,) and np.asarray(v).tolist() == [1.0, 2.0] and float(v[0]) == 1.0
    assert v.size == 2 and v.device == "cpu" and 2.0 in v and v.sum() == 3.0
    np.testing.assert_array_equal(gf.constant([1.0, 0.0]) == v, [True, False])
    assert (v == v) is True and (v == gf.Variable([1.0, 2.0])) is False
    before = v.read_value()
    v[gf.constant([False, True])] = 7.0
    v[0] = before[1]
    assert v.tolist() == [2.0, 7.0] and before.tolist() == [1.0, 2.0]


@pytest.mark.parametrize("symbolic", [False, True])
def test_methods_and_attributes_that_users_of_numpy_expect(symbolic):
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    asked = {
        "T": lambda x: x.T,
        "mT": lambda x: x.mT,
        "reshape": lambda x: x.reshape(3, -1),
        "sum": lambda x: x.sum(axis=1, keepdims=True),
        "mean": lambda x: x.mean(),
        "std": lambda x: x.std(axis=0),
        "astype": lambda x: x.astype("int32"),
        "max": lambda x: x.max(0),
        "argmax": lambda x: x.argmax(),
        "clip": lambda x: x.clip(1, 2),
        "ravel": lambda x: x.ravel(),
        "take": lambda x: x.take([1], 1),
        "transpose": lambda x: x.transpose(1, 0),
        "any": lambda x: x.any(axis=0),
        "prod": lambda x: x.prod(),
        "real": lambda x: x.real,
    }
    if not symbolic:
        x = gf.constant(a)
        found = {name: call(x).numpy() for name, call in asked.items()}
    else:
        with gf.Graph().as_default():
            x = gf.placeholder(gf.float32, [2, 3])
            with gf.Session() as session:
                found = session.run({name: call(x) for name, call in asked.items()}, {x: a})
    assert (x.size, x.nbytes, x.itemsize, x.ndim) == (6, 24, 4, 2)
    for name, call in asked.items():
        np.testing.assert_allclose(found[name], call(a), rtol=1e-6, err_msg=name)


def test_masks_and_several_indices_are_numpys():
    a = np.arange(12.0, dtype=np.float32).reshape(3, 4)
    t = gf.constant(a) + 0.0
    with gf.GradientTape() as tape:
        tape.watch(t)
        y = gf.reduce_sum(gf.square(t[t > 4.0]))
    np.testing.assert_array_equal(tape.gradient(y, t), np.where(a > 4, 2 * a, 0))
    for key in [np.array([True, False, True]), ([0, 2], [1, 1]), (slice(None), [-1, 0]), gf.constant([-1, 0]) + 0]:
        np.testing.assert_array_equal(t[key], a[np.asarray(key) if isinstance(key, gf.Tensor) else key])
    with pytest.raises(IndexError):
        t[np.array([True, False])]
    last = gf.constant(1) + 1  # a value, no constant
    assert t[:last].shape == (2, 4) and t[last, -last].numpy() == a[2, -2]
    with gf.Graph().as_default():
        x = gf.placeholder(gf.float32, [3, 4])
        picked = x[np.array([True, False, True])], x[[0, 1], [3, 2]]
        with gf.Session() as session:
            found = session.run(picked, {x: a})
        np.testing.assert_array_equal(found[0], a[[0, 2]])
        np.testing.assert_array_equal(found[1], a[[0, 1], [3, 2]])
        with pytest.raises(DTypeError, match=r"gf\.where"):
            x[x > 0.0]
        row = gf.placeholder(gf.int32, [])
        with gf.Session() as session:
            np.testing.assert_array_equal(session.run(x[[row, row - 1]], {x: a, row: 2}), a[[2, 1]])
