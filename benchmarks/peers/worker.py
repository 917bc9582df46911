"""One peer on one workload, in a process of its own.

Reads ``run`` or ``score`` from standard input and answers with one JSON line. Every
measurement begins from newly drawn parameters, so that all peers do the same work.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings

import numpy as np

from benchmarks.peers.workloads import WORKLOADS, Workload, load, spread

warnings.filterwarnings("ignore")
LEARNING_RATE = 1e-3


class Estimator:
    """jitmlp or scikit-learn, through their public methods."""

    def __init__(self, module, workload: Workload, data, threads):
        self.workload, (X, self.y, self.X_test, self.y_test) = workload, data
        self.X = X
        classify = self.y.dtype == np.int64
        self.make = getattr(module, "MLPClassifier" if classify else "MLPRegressor")
        self.options = dict(
            hidden_layer_sizes=workload.units[1:-1],
            activation=workload.activation,
            batch_size=min(workload.batch, 200) if workload.kind == "predict" else workload.batch,
            max_iter=workload.epochs,
            tol=0.0,
            n_iter_no_change=10**9,
            random_state=0,
            shuffle=workload.batch < X.shape[0],  # nobody shuffles where every step takes all rows
        )
        if module.__name__ == "jitmlp":
            self.options |= {"n_threads": threads, "dtype": workload.dtype, "precision": workload.precision}
            if workload.kind == "categories":
                self.options["categorical_features"] = list(range(X.shape[1]))
                self.options["embedding_dim"] = workload.embedding or None
        if not classify:
            self.y = np.squeeze(self.y)
        if workload.kind == "predict":
            self.model = self.make(**self.options | {"max_iter": 1}).fit(self.X[:2000], self.y[:2000])
            self.rows = self.X_test[: workload.batch]

    def run(self):
        start = time.perf_counter()
        if self.workload.kind == "predict":
            predict = self.model.predict if self.workload.batch == 1 else self.model.predict_proba
            for _ in range(self.workload.epochs):
                predict(self.rows)
        else:
            self.model = self.make(**self.options).fit(self.X, self.y)
        return time.perf_counter() - start

    def score(self):
        return float(self.model.score(self.X_test, np.squeeze(self.y_test)))


def score_outputs(outputs, y):
    """Accuracy of class scores, or R2 of regression outputs."""
    if y.dtype == np.int64:
        return float((outputs.argmax(axis=1) == y).mean())
    residual = ((outputs - y) ** 2).sum(axis=0)
    return float((1 - residual / ((y - y.mean(axis=0)) ** 2).sum(axis=0)).mean())


class Torch:
    """PyTorch, eager with fused Adam, or with the loss compiled."""

    def __init__(self, workload: Workload, data, threads, compiled):
        import torch

        torch.set_num_threads(threads)
        self.torch, self.workload, self.compiled = torch, workload, compiled
        self.data = data
        kind = getattr(torch, workload.dtype)
        X, y = data[:2]
        self.given = torch.int64 if workload.embedding else kind  # of rows, which may be categories
        self.X, self.y = torch.tensor(X, dtype=self.given), torch.tensor(y)
        self.y = self.y if self.y.dtype == torch.int64 else self.y.to(kind)
        self.kind = kind
        self.rows = torch.tensor(data[2][: workload.batch], dtype=self.given)
        self.net = self.make_net()
        self.loss = torch.nn.CrossEntropyLoss() if data[1].dtype == np.int64 else torch.nn.MSELoss()

    def make_net(self):
        nn, units, width = self.torch.nn, self.workload.units, self.workload.embedding
        self.torch.manual_seed(0)
        layers = []
        if width:  # one table for all columns: codes begin where those of the column before end
            layers = [nn.Embedding(units[0], width, dtype=self.kind), nn.Flatten()]
            units = (self.workload.entries * width, *units[1:])
        for a, b in zip(units, units[1:]):
            layers += [
                nn.Linear(a, b, dtype=self.kind),
                nn.Tanh() if self.workload.activation == "tanh" else nn.ReLU(),
            ]
        return nn.Sequential(*layers[:-1])

    def run(self):
        torch, batch = self.torch, self.workload.batch
        if self.workload.kind == "predict":
            start = time.perf_counter()
            with torch.inference_mode():
                for _ in range(self.workload.epochs):
                    outputs = self.net(self.rows)
                    outputs.argmax(1).numpy() if batch == 1 else outputs.softmax(1).numpy()
            return time.perf_counter() - start
        self.net = net = self.make_net()
        optimizer = torch.optim.Adam(net.parameters(), lr=LEARNING_RATE, fused=True)

        def objective(X, y):
            return self.loss(net(X), y)

        function = torch.compile(objective) if self.compiled else objective

        def step(X, y):
            optimizer.zero_grad(set_to_none=True)
            function(X, y).backward()
            optimizer.step()

        n = len(self.X)
        step(self.X[:batch], self.y[:batch])  # compiles, where it does
        start = time.perf_counter()
        for _ in range(self.workload.epochs):
            if batch >= n:
                step(self.X, self.y)
                continue
            order = torch.randperm(n)
            for i in range(0, n - batch + 1, batch):
                rows = order[i : i + batch]
                step(self.X[rows], self.y[rows])
        return time.perf_counter() - start

    def score(self):
        with self.torch.inference_mode():
            outputs = self.net(self.torch.tensor(self.data[2], dtype=self.given)).numpy()
        return score_outputs(outputs, self.data[3])


class Jax:
    """JAX with optax: one jitted scan over the steps of an epoch."""

    def __init__(self, workload: Workload, data, threads):
        import jax

        jax.config.update("jax_enable_x64", workload.dtype == "float64")
        import jax.numpy as jnp
        import optax

        self.jax, self.jnp, self.workload, self.data = jax, jnp, workload, data
        kind, batch = workload.dtype, workload.batch
        self.X, self.y = jnp.array(data[0], kind), jnp.array(data[1])
        self.rows = jnp.array(data[2][:batch], kind)
        self.optimizer = optax.adam(LEARNING_RATE)
        activation = jnp.tanh if workload.activation == "tanh" else jax.nn.relu
        n, classify = len(data[0]), data[1].dtype == np.int64

        def forward(parameters, a):
            for W, b in parameters[:-1]:
                a = activation(a @ W + b)
            return a @ parameters[-1][0] + parameters[-1][1]

        def loss(parameters, X, y):
            z = forward(parameters, X)
            if classify:
                return optax.softmax_cross_entropy_with_integer_labels(z, y).mean()
            return ((z - y) ** 2).mean()

        def update(carry, X, y):
            parameters, state = carry
            changes, state = self.optimizer.update(jax.grad(loss)(parameters, X, y), state)
            return optax.apply_updates(parameters, changes), state

        def epoch(carry, key, X, y):
            order = jax.random.permutation(key, n)[: n // batch * batch].reshape(-1, batch)
            return jax.lax.scan(lambda c, rows: (update(c, X[rows], y[rows]), None), carry, order)[0]

        def full(carry, X, y):
            return jax.lax.fori_loop(0, workload.epochs, lambda i, c: update(c, X, y), carry)

        self.forward, self.epoch, self.full = jax.jit(forward), jax.jit(epoch), jax.jit(full)
        self.proba = jax.jit(lambda p, a: jax.nn.softmax(forward(p, a)))
        self.parameters = self.draw()
        self.ready = False

    def draw(self):
        rng, kind = np.random.default_rng(0), self.workload.dtype
        return [
            (
                self.jnp.array(rng.uniform(-1, 1, (a, b)) * np.sqrt(6 / (a + b)), kind),
                self.jnp.zeros(b, kind),
            )
            for a, b in zip(self.workload.units, self.workload.units[1:])
        ]

    def run(self):
        jax, workload = self.jax, self.workload
        if workload.kind == "predict":
            np.asarray(self.proba(self.parameters, self.rows))
            start = time.perf_counter()
            for _ in range(workload.epochs):
                np.asarray(self.proba(self.parameters, self.rows))
            return time.perf_counter() - start
        carry = self.draw(), self.optimizer.init(self.draw())
        key = jax.random.PRNGKey(0)
        whole = workload.batch >= len(self.X)
        if not self.ready:
            warm = self.full(carry, self.X, self.y) if whole else self.epoch(carry, key, self.X, self.y)
            jax.block_until_ready(warm)
            self.ready = True
        start = time.perf_counter()
        if whole:
            carry = self.full(carry, self.X, self.y)
        else:
            for _ in range(workload.epochs):
                key, part = jax.random.split(key)
                carry = self.epoch(carry, part, self.X, self.y)
        jax.block_until_ready(carry)
        seconds = time.perf_counter() - start
        self.parameters = carry[0]
        return seconds

    def score(self):
        return score_outputs(np.asarray(self.forward(self.parameters, self.data[2])), self.data[3])


class Keras:
    """Keras 3 on JAX, its training step compiled."""

    def __init__(self, workload: Workload, data, threads):
        os.environ["KERAS_BACKEND"] = "jax"
        import keras

        keras.backend.set_floatx(workload.dtype)
        self.keras, self.workload, self.data = keras, workload, data
        self.rows = data[2][: workload.batch]
        self.classify = data[1].dtype == np.int64
        self.model = self.draw()
        self.weights = self.model.get_weights()

    def draw(self):
        keras, units = self.keras, self.workload.units
        keras.utils.set_random_seed(0)
        layers = [keras.layers.Dense(n, self.workload.activation) for n in units[1:-1]]
        model = keras.Sequential([keras.Input((units[0],)), *layers, keras.layers.Dense(units[-1])])
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True) if self.classify else "mse"
        model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, jit_compile=True)
        return model

    def run(self):
        workload, (X, y) = self.workload, self.data[:2]
        self.model.set_weights(self.weights)
        options = dict(batch_size=min(workload.batch, len(X)), verbose=0, shuffle=workload.batch < len(X))
        if not getattr(self, "ready", False):
            self.model.fit(X, y, epochs=1, **options)  # compiles
            self.model.set_weights(self.weights)
            self.ready = True
        for variable in self.model.optimizer.variables[2:]:  # behind the step's number and the learning rate
            variable.assign(variable * 0)
        start = time.perf_counter()
        self.model.fit(X, y, epochs=workload.epochs, **options)
        return time.perf_counter() - start

    def score(self):
        return score_outputs(np.asarray(self.model.predict(self.data[2], verbose=0)), self.data[3])


def make(peer: str, workload: Workload, threads: int):
    """The object that runs ``peer`` on ``workload``."""
    data = load(workload)
    if workload.embedding and peer != "jitmlp":
        starts = workload.units[0] // workload.entries * np.arange(workload.entries)
        data = [part + starts if part.ndim == 2 else part for part in data]
    elif workload.kind == "categories" and peer != "jitmlp":
        data = [spread(part, workload.units[0] // workload.entries) if part.ndim == 2 else part for part in data]
    if peer == "jitmlp":
        import jitmlp

        return Estimator(jitmlp, workload, data, threads)
    if peer == "scikit-learn":
        from sklearn import neural_network

        return Estimator(neural_network, workload, data, threads)
    if peer == "keras":
        return Keras(workload, data, threads)
    if peer == "jax":
        return Jax(workload, data, threads)
    return Torch(workload, data, threads, peer == "torch.compile")


def main():
    """Serve one peer on one workload until standard input ends."""
    peer, name, threads = sys.argv[1], sys.argv[2], int(sys.argv[3])
    runner = make(peer, WORKLOADS[name], threads)
    for line in sys.stdin:
        answer = runner.run() if line.strip() == "run" else runner.score()
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
