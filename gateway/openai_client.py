"""OpenAI's Python client over a gateway, as programs use it: run by python-client.test.ts, which says what should come of it."""
import json
import os
import sys

import openai

model, encoder = "tiny-llama", "tiny-bert"
client = openai.OpenAI(base_url=os.environ["BASE_URL"], api_key=os.environ["KEY"], max_retries=0)
asked = {"model": model, "messages": [{"role": "user", "content": "Many hands"}], "max_tokens": 12, "temperature": 0}
told = {}


def refusal(ask):
    try:
        ask()
    except openai.APIStatusError as error:
        return [type(error).__name__, error.status_code, error.code, error.param, error.request_id is not None]


whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=2)
told["whole"] = whole.choices[0].message.content
told["finish"] = whole.choices[0].finish_reason
told["used"] = whole.usage.completion_tokens
told["tops"] = [len(token.top_logprobs) for token in whole.choices[0].logprobs.content]

stream = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
chunks = list(stream)
told["streamed"] = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
told["streamUsed"] = chunks[-1].usage.completion_tokens

sampled = {**asked, "temperature": 1, "seed": 7, "n": 2}
told["seeded"] = [[c.message.content for c in client.chat.completions.create(**sampled).choices] for _ in range(2)]
told["completion"] = client.completions.create(model=model, prompt="Many hands", max_tokens=6, temperature=0).choices[0].text
# Without a format it asks for base64 and decodes it.
told["vectors"] = [one.embedding for one in client.embeddings.create(model=encoder, input=["many hands", "light work"]).data]
told["models"] = sorted(one.id for one in client.models.list())

told["noModel"] = refusal(lambda: client.chat.completions.create(**{**asked, "model": "no-such"}))
tools = [{"type": "function", "function": {"name": "f", "parameters": {}}}]
told["tools"] = refusal(lambda: client.chat.completions.create(**asked, tools=tools))
told["format"] = refusal(lambda: client.chat.completions.create(**asked, response_format={"type": "json_object"}))
told["badKey"] = refusal(lambda: client.with_options(api_key="mg_other").models.list())

# Left in the middle: the gateway must notice.
with client.chat.completions.create(**{**asked, "max_tokens": 400}, stream=True) as left:
    next(iter(left))

json.dump(told, sys.stdout)
