/**
 * A checkpoint's chat template: messages to the text that the model continues. Templates are Jinja; `@huggingface/jinja` renders them.
 *
 *     [{ role: "user", content: "Hi" }]   →   <|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n
 */
import { Template } from "@huggingface/jinja"
import { printable, WeftError } from "../errors.js"
import type { Checkpoint } from "../weights/checkpoint.js"
import type { ChatMessage } from "./messages.js"

export interface TemplateOptions {
  /** What the template knows as `enable_thinking`; its own default when left out. */
  readonly thinking?: boolean | undefined
}

export interface ChatTemplate {
  /** The token that ends an answer besides those of generation_config.json, as its text. */
  readonly endText: string | undefined
  /** @throws WeftError `chat/template` when the template refuses the messages */
  render(messages: readonly ChatMessage[], options?: TemplateOptions): string
}

/** The texts of a checkpoint that may hold its template, and the tokens that templates name. */
export interface TemplateTexts {
  /** chat_template.jinja, which comes first. */
  readonly jinja?: string | undefined
  /** chat_template.json. */
  readonly json?: string | undefined
  /** tokenizer_config.json. */
  readonly config?: string | undefined
}

type Json = Readonly<Record<string, unknown>>

/**
 * Makes a template of a checkpoint's texts; undefined when none of them holds one.
 *
 * @throws WeftError `chat/template` when it is no Jinja, or a file is no JSON
 */
export function createChatTemplate({ jinja, json, config }: TemplateTexts): ChatTemplate | undefined {
  const settings = parsed("tokenizer_config.json", config)
  const source = jinja ?? sourceIn(parsed("chat_template.json", json)) ?? sourceIn(settings)
  if (source === undefined) return undefined
  const template = attempt("is no template that can be read", () => new Template(source))
  const names = ["bos_token", "eos_token", "unk_token", "pad_token"]
  const tokens = Object.fromEntries(names.map((name) => [name, tokenText(settings?.[name])]))
  return {
    endText: tokens.eos_token,
    render: (messages, { thinking } = {}) =>
      attempt("refuses the messages", () =>
        template.render({
          ...tokens,
          messages: messages.map(({ role, content, thinking: thought }) => ({
            role,
            content,
            ...(thought !== undefined && { reasoning_content: thought }),
          })),
          add_generation_prompt: true,
          ...(thinking !== undefined && { enable_thinking: thinking }),
        }),
      ),
  }
}

/** The template of an open checkpoint. @throws WeftError `chat/template` */
export async function templateOf({ readText }: Pick<Checkpoint, "readText">): Promise<ChatTemplate | undefined> {
  const [jinja, json, config] = [
    await readText("chat_template.jinja"),
    await readText("chat_template.json"),
    await readText("tokenizer_config.json"),
  ]
  return createChatTemplate({ jinja, json, config })
}

/** The Jinja of an open checkpoint. @throws WeftError `chat/template` */
export async function templateSourceOf({ readText }: Pick<Checkpoint, "readText">): Promise<string | undefined> {
  return (
    (await readText("chat_template.jinja")) ??
    sourceIn(parsed("chat_template.json", await readText("chat_template.json"))) ??
    sourceIn(parsed("tokenizer_config.json", await readText("tokenizer_config.json")))
  )
}

/** One template, or several by name of which the default one is taken. */
function sourceIn(json: Json | undefined): string | undefined {
  const found = json?.chat_template
  if (typeof found === "string") return found
  const named = Array.isArray(found) ? found.find((t) => t?.name === "default")?.template : undefined
  return typeof named === "string" ? named : undefined
}

function tokenText(token: unknown): string | undefined {
  const text = typeof token === "object" && token !== null && "content" in token ? token.content : token
  return typeof text === "string" ? text : undefined
}

function parsed(file: string, text: string | undefined): Json | undefined {
  if (text === undefined) return undefined
  const value: unknown = attempt(`: ${file} is not JSON`, () => JSON.parse(text))
  return typeof value === "object" && value !== null ? (value as Json) : undefined
}

function attempt<T>(what: string, act: () => T): T {
  try {
    return act()
  } catch (cause) {
    const why = cause instanceof Error ? cause.message : String(cause)
    throw new WeftError("chat/template", `the checkpoint's chat template ${what}: ${printable(why)}`, {
      hint: "begin with a system or user message and let user and assistant take turns, as most templates ask; or fetch the files again",
      cause,
    })
  }
}
