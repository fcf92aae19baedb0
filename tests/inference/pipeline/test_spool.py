"""Arrays put away on disk come back as they were."""

import gc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, scalar_dtypes

from inference.pipeline.spool import Spool


@given(st.lists(arrays(scalar_dtypes(), array_shapes(min_side=0)), max_size=4))
def test_every_array_comes_back_with_shape_dtype_and_bytes(given_arrays):
    spool = Spool()
    kept = [spool.keep(array) for array in given_arrays]
    for array, stored in zip(given_arrays, kept, strict=True):
        back = np.asarray(stored)
        assert back.shape == array.shape and back.dtype == array.dtype
        assert back.tobytes() == array.tobytes()


def test_a_strided_view_is_kept_as_it_looks():
    array = np.arange(24, dtype=np.uint8).reshape(4, 6)[::2, ::3]
    assert np.array_equal(np.asarray(Spool().keep(array)), array)


def test_an_array_can_be_asked_for_as_another_type():
    assert np.asarray(Spool().keep(np.array([1, 2], np.uint8)), np.float32).dtype == np.float32


def test_an_array_outlives_the_name_of_its_spool():
    stored = Spool().keep(np.arange(1000))
    gc.collect()
    assert np.array_equal(np.asarray(stored), np.arange(1000))


def test_threads_read_each_their_own():
    spool = Spool()
    kept = [spool.keep(np.full((64, 64), value)) for value in range(200)]
    with ThreadPoolExecutor(8) as threads:
        back = list(threads.map(np.asarray, kept))
    assert [array[0, 0] for array in back] == list(range(200))
