"""vLLM as the sampler: in this process on the training device, or as a server on another one.

Only the modules `local` and `worker` import vLLM, and only when they are imported themselves. Prompts go in as token
ids and replies come out as token ids with their log-probabilities, so what was sampled is what is trained on. The
engine has weights of its own: `weights` sends it what the trainer changed and proves that it has it.

What has run: the engine on a CPU, in this process and as a server. Left out: several GPUs an engine (tensor, pipeline
or data parallelism), LoRA inside the engine (adapters are sent as merged weights), quantized engines.
"""
