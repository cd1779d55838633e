/** The messages of a conversation, and the checks before a template sees them. */
import { printable, WeftError } from "../errors.js"
import { fromHost, hostText } from "../host.js"

const roles = ["system", "user", "assistant"] as const

export interface ChatMessage {
  readonly role: (typeof roles)[number]
  readonly content: string
  /** Of an assistant: what it thought before it answered. */
  readonly thinking?: string | undefined
}

/** A copy of what a host gives. @throws WeftError `chat/message` */
export const checkedMessages = (given: unknown): readonly ChatMessage[] =>
  fromHost("chat/message", "the messages cannot be read", () => {
    if (!Array.isArray(given) || given.length === 0)
      throw refused(`the messages are ${hostText(given)}, no list with a message in it`)
    return given.map((message, i) => checkedMessage(message, `message ${i + 1} of ${given.length}`))
  })

function checkedMessage(message: unknown, at: string): ChatMessage {
  if (typeof message !== "object" || message === null) throw refused(`${at} is ${hostText(message)}`)
  const { role, content, thinking, ...others } = message as Readonly<Record<string, unknown>>
  const known = roles.find((name) => name === role)
  if (known === undefined) throw refused(`the role of ${at} is ${hostText(role)}; tools are not supported yet`)
  if (Array.isArray(content)) throw refused(`the content of ${at} has parts; images and sounds are not supported yet`)
  if (typeof content !== "string") throw refused(`the content of ${at} is ${hostText(content)}, no text`)
  if (thinking !== undefined && typeof thinking !== "string")
    throw refused(`the thinking of ${at} is ${hostText(thinking)}, no text`)
  const [other] = Object.keys(others).filter((name) => others[name] !== undefined)
  if (other !== undefined) throw refused(`${at} has a field ${printable(other)}, which would be left out`)
  return { role: known, content, ...(thinking === undefined ? {} : { thinking }) }
}

const refused = (what: string): WeftError =>
  new WeftError("chat/message", what, {
    hint: 'give { role: "system" | "user" | "assistant", content: "…" }, and thinking of an assistant if there was some',
  })
