"""Which routed experts of a mixture of experts serve which language (experts.method: router).

Needs: model.json, experts.h5, activations/{lang}.h5, tokens/{lang}.h5. Makes: routing.csv under results/{model}/.
"""

ROUTING_TARGETS = []
ROUTING_FULL = []
