/**
 * HTML that is escaped unless it is markup already.
 *
 *     html`<b>${name}</b>`      name is text: & < > " ' become references
 *     html`<ul>${items}</ul>`   items are pieces of markup, or lists of such, and stand as they are
 *
 * There is no other way to make markup, so whatever comes from a source, a name or a config is text on the page.
 */
import { fault } from "../../../runtime/errors.js"

declare const markup: unique symbol
export interface Markup {
  readonly [markup]: true
  readonly text: string
}
type Piece = string | number | undefined | false | Markup | readonly Piece[]

const references: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
}

const escapeText = (text: string): string => text.replace(/[&<>"']/g, (c) => references[c]!)

export function html(strings: TemplateStringsArray, ...pieces: readonly Piece[]): Markup {
  return made(strings.map((s, i) => (i === 0 ? s : textOf(pieces[i - 1]) + s)).join(""))
}

const made = (text: string): Markup => ({ text }) as Markup

function textOf(piece: Piece): string {
  if (piece === undefined || piece === false) return ""
  if (typeof piece === "string" || typeof piece === "number") return escapeText(String(piece))
  return "text" in piece ? piece.text : piece.map(textOf).join("")
}

/** A `style` or `script` element with a text of ours, which must not hold the end of the element. */
export function element(name: "style" | "script", text: string): Markup {
  if (text.includes("</")) throw fault(`a ${name} element cannot hold '</'`)
  return made(`<${name}>${text}</${name}>`)
}

/** Data for programs: JSON in which nothing can end the element, begin a comment or break a line of a script. */
export function dataElement(id: string, data: unknown): Markup {
  const safe = JSON.stringify(data).replace(
    /[<>&\u2028\u2029]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
  )
  return made(`<script type="application/json" id="${escapeText(id)}">${safe}</script>`)
}
