"""The paper's algorithm in a straight line: Eq. (2), (3), (4), (5) and Algorithm 1, one trajectory at a time.

It shares no code with the package but the data's: what is drawn of an episode (`sample_windows`). Weights are
read by their names from the tree `theta` that it is given.
"""

import jax
import jax.numpy as jnp
import optax

from gac.data.windows import sample_windows

LOG_2PI = jnp.log(2.0 * jnp.pi)


def linear(layer, x):
    return x @ layer.weight + layer.bias


def norm(x):
    centred = x - x.mean(-1, keepdims=True)
    return centred / jnp.sqrt((centred**2).mean(-1, keepdims=True) + 1e-5)


def attention(queries, keys, values, heads, seen=None):
    """(tokens, d) to (tokens, d); `seen[i, j]`: whether token i sees token j."""
    q, k, v = (x.reshape(x.shape[0], heads, -1) for x in (queries, keys, values))
    scores = jnp.einsum("ihw,jhw->hij", q, k) / jnp.sqrt(q.shape[-1])
    if seen is not None:
        scores = jnp.where(seen[None], scores, -1e9)
    return jnp.einsum("hij,jhw->ihw", jax.nn.softmax(scores, -1), v).reshape(queries.shape)


def feed_forward(block, x):
    return linear(block.feed_forward.down, jax.nn.relu(linear(block.feed_forward.up, norm(x))) ** 2)


def f_alpha(prior, s0, epsilon):
    """z = f_alpha(s0, epsilon): z_y and z_traj."""
    noise = linear(prior.epsilon_token, epsilon)
    x = jnp.concatenate([linear(prior.state_token, s0)[None], noise]) + prior.slots[0]
    for block in prior.blocks:
        qkv = jnp.split(linear(block.qkv, norm(x)), 3, -1)
        x = x + linear(block.out, attention(*qkv, block.heads))
        x = x + feed_forward(block, x)
    x = norm(x)
    return x[0], x[1:]


def mu_gamma(critic, z_y):
    return linear(critic.out, jax.nn.gelu(linear(critic.hidden, z_y)))[0]


def sigma(own):
    if own.learned:
        return jnp.sqrt(0.01**2 + jnp.exp(2.0 * own.log_value))
    return jax.lax.stop_gradient(jnp.exp(own.log_value))


def log_normal(x, mean, std):
    return jnp.sum(-0.5 * ((x - mean) / std) ** 2 - jnp.log(std) - 0.5 * LOG_2PI, -1)


def p_beta(generator, z_traj, states, actions, valid):
    """Means of the actions and next states of one window of M steps: (M, A) and (M, S)."""
    x = jnp.stack([linear(generator.state_token, states), linear(generator.action_token, actions)], 1)
    x, token = x.reshape(2 * len(states), -1), jnp.arange(2 * len(states))
    seen = (jnp.repeat(valid, 2)[None] & (token[None] < token[:, None])) | (token[None] == token[:, None])
    for block in generator.blocks:
        qkv = jnp.split(linear(block.qkv, norm(x)), 3, -1)
        x = x + linear(block.out, attention(*qkv, block.heads, seen))
        keys, values = jnp.split(linear(block.plan_key_value, z_traj), 2, -1)
        query = linear(block.plan_query, norm(x))
        x = x + linear(block.plan_out, attention(query, keys, values, block.heads))
        x = x + feed_forward(block, x)
    x = norm(x)
    return linear(generator.actor.out, x[0::2]), states + linear(generator.change, x[1::2])


def log_p_tau(theta, z_traj, windows):
    """Weighted sum over the windows of one trajectory."""

    def one(states, actions, next_states, valid, next_valid, weight):
        action_mean, state_mean = p_beta(theta.generator, z_traj, states, actions, valid)
        log_p_a = log_normal(actions, action_mean, sigma(theta.generator.sigma_a))
        log_p_s = log_normal(next_states, state_mean, sigma(theta.generator.sigma_s))
        return weight * jnp.sum(jnp.where(valid, log_p_a, 0.0) + jnp.where(next_valid, log_p_s, 0.0))

    return jnp.sum(jax.vmap(one)(*windows))


def kl_to_prior(mu, log_sigma):
    return jnp.sum(0.5 * (mu**2 + jnp.exp(2.0 * log_sigma) - 1.0) - log_sigma)


def elbo(theta, phi, noise, windows, s0, y):
    """Eq. (5) of one trajectory, with one draw of epsilon."""
    mu, log_sigma = phi
    z_y, z_traj = f_alpha(theta.prior, s0, mu + jnp.exp(log_sigma) * noise)
    log_p_y = log_normal(y[None], mu_gamma(theta.critic, z_y)[None], sigma(theta.critic.sigma_y))
    return log_p_tau(theta, z_traj, windows) + log_p_y - kl_to_prior(mu, log_sigma)


def elbos(theta, phi, key, data, index, count, context, dim):
    """Eq. (5) of every trajectory of a batch, with new windows and a new draw."""
    window_key, noise_key = jax.random.split(key)
    windows = sample_windows(data, index, window_key, count, context, dim)
    noise = jax.random.normal(noise_key, phi[0].shape)
    s0 = data.rows[data.starts[index], :dim]
    return jax.vmap(elbo, (None, 0, 0, 0, 0, 0))(theta, phi, noise, windows, s0, data.y[index])


def train(theta, data, batches, key, config, dim, scale):
    """Algorithm 1: for each batch local inference from the stored phi, k steps in theta, write-back.

    Args:
        batches: places of the trajectories of every update.
        scale: constant that divides the loss in theta.

    Returns:
        theta, the posteriors of all episodes, and the mean ELBO of every update.
    """
    t, p, m = config.training, config.posterior, config.model
    zeros = jnp.zeros((data.num_episodes, m.latent_tokens, m.embed_dim))
    bank = zeros, zeros
    matrices = jax.tree.map(lambda leaf: leaf.ndim >= 2, theta)

    def rate(count):
        return t.outer_lr * jnp.minimum(1.0, count / t.warmup_steps)

    outer = optax.chain(
        optax.clip_by_global_norm(t.grad_clip),
        optax.adamw(rate, b2=t.adam_b2, weight_decay=t.weight_decay, mask=matrices),
    )
    inner, outer_state, means = optax.adam(p.inner_lr), outer.init(theta), []

    @jax.jit
    def local(phi, state, theta, index, key):
        def loss(phi):
            return -jnp.sum(elbos(theta, phi, key, data, index, p.inner_windows, m.context, dim))

        updates, state = inner.update(jax.grad(loss)(phi), state, phi)
        return optax.apply_updates(phi, updates), state

    @jax.jit
    def step(theta, state, phi, index, key):
        def loss(theta):
            each = elbos(theta, phi, key, data, index, t.outer_windows, m.context, dim)
            return -jnp.mean(each) / scale, each

        gradient, each = jax.grad(loss, has_aux=True)(theta)
        updates, state = outer.update(gradient, state, theta)
        return optax.apply_updates(theta, updates), state, jnp.mean(each)

    for number, index in enumerate(batches):
        own = jax.random.fold_in(jax.random.split(key)[1], number)
        inner_key, outer_key, _ = jax.random.split(own, 3)
        phi = bank[0][index], bank[1][index]
        inner_state = inner.init(phi)
        for i in range(p.inner_steps):
            phi, inner_state = local(phi, inner_state, theta, index, jax.random.fold_in(inner_key, i))
        found = []
        for own in jax.random.split(outer_key, t.outer_steps):
            theta, outer_state, mean = step(theta, outer_state, phi, index, own)
            found.append(mean)
        bank = tuple(stored.at[index].set(new) for stored, new in zip(bank, phi, strict=True))
        means.append(jnp.mean(jnp.stack(found)))
    return theta, bank, means


def query(theta, s0, objective, config, key):
    """Ascend `objective(z_y, phi)`, meant over two mirrored draws, in phi from the prior."""
    shape = config.model.latent_tokens, config.model.embed_dim
    phi = jnp.zeros(shape), jnp.zeros(shape)
    adam = optax.adam(config.query.query_lr)
    state = adam.init(phi)

    @jax.jit
    def step(phi, state, key):
        noise = jax.random.normal(key, (1, *shape))[0]

        def loss(phi):
            values = [
                objective(f_alpha(theta.prior, s0, phi[0] + jnp.exp(phi[1]) * draw)[0], phi)
                for draw in (noise, -noise)
            ]
            return -sum(values) / 2.0

        updates, state = adam.update(jax.grad(loss)(phi), state, phi)
        return optax.apply_updates(phi, updates), state

    for i in range(config.query.query_steps):
        phi, state = step(phi, state, jax.random.fold_in(key, i))
    return phi


def exploit(theta, s0, config, key):
    """Eq. (2): max over phi of E_q[mu_gamma(z_y)]; the mean of q."""
    return query(theta, s0, lambda z_y, _: mu_gamma(theta.critic, z_y), config, key)[0]


def explore(theta, s0, y_plus, config, infer_key, draw_key):
    """Eq. (3): max over phi of E_q[log p_gamma(y+ | z_y)] - KL(q || N(0, I)); a sample of q."""

    def objective(z_y, phi):
        mean, std = mu_gamma(theta.critic, z_y), sigma(theta.critic.sigma_y)
        return log_normal(y_plus[None], mean[None], std) - kl_to_prior(*phi)

    mu, log_sigma = query(theta, s0, objective, config, infer_key)
    return mu + jnp.exp(log_sigma) * jax.random.normal(draw_key, mu.shape)
