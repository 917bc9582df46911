"""What the estimators' documentation says of their fitted attributes."""

ATTRIBUTES = """\
coefs_ : list of ndarray of shape (fan_in, fan_out)
    Weights of each layer; read-only, assign a new array to change one.
intercepts_ : list of ndarray of shape (fan_out,)
    Intercepts of each layer.
loss_ : float
    Loss of the last epoch, penalty included.
best_loss_ : float or None
    Lowest loss of an epoch; None with early stopping.
loss_curve_ : list of float
    Loss of every epoch.
validation_scores_, validation_loss_curve_ : list of float or None
    Score and mean loss (without penalties and label smoothing) of the held-out rows, or of ``X_val``, after every
    epoch; None where there are none.
best_validation_score_ : float or None
    The best of the scores.
batch_norm_ : list of list of ndarray of shape (fan_out,)
    Gamma, beta, running mean and running variance of every hidden layer; empty without
    ``batch_norm``.
input_shift_, input_scale_ : ndarray of shape (n_features,) or None
    With ``normalize``, inputs become ``(x - input_shift_) * input_scale_``, and with 'robust_clip' are clipped then.
bins_ : list of ndarray or None
    With ``numeric_bins``, the edges of each feature's bins, of numbers as ``normalize`` leaves them; an empty array for
    one that is not encoded. ``coefs_[0]`` has rows for the features, then for each one that is encoded its rank and parts.
encoder_ : CategoryEncoder or None
    With ``categorical_features``, what the columns hold: ``is_categorical``, ``categories``, and ``transform(X)``, which
    gives the rows that ``coefs_[0]``, ``network_`` and exported networks are for.
embeddings_ : list of ndarray of shape (n_categories, embedding_dim) or None
    With ``embedding_dim``, a row a category for each column of ``encoder_.categories``.
embedding_coefs_ : ndarray of shape (n_inputs, fan_out) or None
    Weights of the numbers and of the dimensions of each column's embedding. Training goes on from these; their
    product with the embeddings is in ``coefs_[0]``.
history_ : dict of list
    What every epoch had: ``loss``, ``learning_rate`` of its last step, ``seconds``, and where rows are held out
    ``validation_loss`` and ``validation_score``; NaN for epochs of earlier calls that had none. Lists of equal length,
    as ``pandas.DataFrame`` takes them; missing after L-BFGS.
stopped_by_ : str
    Why training ended: 'max_iter', 'plateau', 'callback', 'interrupt', 'diverged' or 'converged'.
t_ : int
    Samples seen in training.
n_iter_ : int
    Epochs, or iterations of L-BFGS.
n_layers_ : int
    Layers, input and output included.
n_outputs_ : int
    Output units.
out_activation_ : str
    Activation of the output layer.
precision_ : {'float32', 'float64', 'bfloat16'}
    As what numbers are multiplied.
members_ : list of estimators
    With ``n_members`` > 1, the single networks; then ``loss_`` is the mean of theirs, ``n_iter_`` the largest, and what
    is of one network, such as ``coefs_`` and ``history_``, is theirs alone.
n_features_in_ : int
    Features seen in fit.
feature_names_in_ : ndarray of shape (n_features,)
    Their names, where X had string names."""
