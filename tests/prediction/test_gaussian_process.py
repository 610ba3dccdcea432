import numpy as np
from scipy.optimize import approx_fprime
from scipy.spatial.distance import cdist
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern

from nasctl.prediction.gaussian_process import JITTER, GroupedGaussianProcess, _loss_and_gradient


def drawn(number, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(number, 3)), rng.normal(size=number), rng.random(number) / 10


def test_the_posterior_is_that_of_scikit_learn():
    points, values, noise = drawn(25)
    others = np.random.default_rng(1).normal(size=(40, 3))
    process = GroupedGaussianProcess.fit([points], values, noise)
    variance, length, own = np.exp(process.parameters)
    kernel = ConstantKernel(variance) * Matern(length * process.units[0], nu=2.5)
    known = GaussianProcessRegressor(kernel, alpha=own + JITTER + noise, optimizer=None)
    known.fit(points, values - values.mean())
    mean, deviation = known.predict(others, return_std=True)
    found = process.predict([others])
    assert np.allclose(found[0], mean + values.mean())
    assert np.allclose(found[1], deviation, atol=1e-6)


def test_the_gradient_is_that_of_the_loss():
    points, values, noise = drawn(15)
    distances = [cdist(points[:, :2], points[:, :2]), cdist(points[:, 2:], points[:, 2:])]
    at = np.array([-0.5, 0.3, 0.2, -0.4, -1.0])
    _, gradient = _loss_and_gradient(at, distances, values, noise)
    known = approx_fprime(at, lambda one: _loss_and_gradient(one, distances, values, noise)[0], 1e-6)
    assert np.allclose(gradient, known, atol=1e-4)
