#!/usr/bin/env python3
"""Writes reference.json: what Jinja makes of the templates here, with the settings of transformers' apply_chat_template. Needs jinja2."""
import json, os
from jinja2.exceptions import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

here = os.path.dirname(os.path.abspath(__file__))


def refuse(message):
    raise TemplateError(message)


env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
env.globals["raise_exception"] = refuse
tokens = dict(bos_token="<s>", eos_token="</s>")
user = lambda text: dict(role="user", content=text)
assistant = lambda text, thought=None: dict(role="assistant", content=text, **({} if thought is None else dict(reasoning_content=thought)))
system = dict(role="system", content=" Be brief.\n")
conversations = [
    [user("Hi")],
    [system, user("Hi")],
    [system, user("Hi"), assistant("\nHello", "\nThey greet.\n"), user("Why <is>\n 'it' \"so\" ünïcode 王?")],
    [user("a"), assistant("<think>\nhm\n</think>\n\nb"), user("c"), assistant("d", "late"), user("e")],
    [user("<tool_response>\n1\n</tool_response>"), assistant("x", "y"), user("<tool_response>\n2\n</tool_response>")],
    [user("one"), user("two")],
]
cases = []
for name in ["qwen.jinja", "turns.jinja"]:
    template = env.from_string(open(os.path.join(here, name)).read())
    for messages in conversations:
        for thinking in [None, True, False]:
            extra = {} if thinking is None else dict(enable_thinking=thinking)
            try:
                text = template.render(messages=messages, add_generation_prompt=True, **tokens, **extra)
            except TemplateError as error:
                text = None
            cases.append(dict(template=name, messages=messages, thinking=thinking, text=text))
json.dump(cases, open(os.path.join(here, "reference.json"), "w"), indent=1, ensure_ascii=False)
print(len(cases), "cases")
