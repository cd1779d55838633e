/**
 * What a model thinks and what it answers, apart, while both come.
 *
 *     "<think>\nIt is warm.\n</think>\n\nYes."   →   thinking "It is warm.", text "Yes."
 *
 * A thought stands at the beginning only; line ends around it belong to neither.
 */
const open = "<think>"
const close = "</think>"

export interface Thoughts {
  /** What of `text` is now certain. */
  push(text: string): { readonly thinking: string; readonly text: string }
  /** What was held back. */
  flush(): { readonly thinking: string; readonly text: string }
}

type State = "beginning" | "thinking" | "after" | "answering"

/** @param prompt what the model continues: a template may have opened the thought */
export function createThoughts(prompt: string): Thoughts {
  let state: State = prompt.trimEnd().endsWith(open) ? "thinking" : "beginning"
  let held = ""
  let isFresh = true // Nothing of the thought or of the answer yet: line ends are left out.

  const take = (last: boolean) => {
    const out = { thinking: "", text: "" }
    for (;;) {
      if (state === "beginning") {
        const rest = held.trimStart()
        if (rest.startsWith(open)) {
          state = "thinking"
          held = rest.slice(open.length)
        } else if (!last && open.startsWith(rest)) return out
        else {
          state = "answering"
          isFresh = false
        }
      } else if (state === "thinking") {
        if (isFresh) held = held.replace(/^\n+/, "")
        const end = held.indexOf(close)
        // Line ends before the mark, and a part of the mark, wait for what comes.
        const keep = end >= 0 ? end : last ? held.length : certain(held)
        const thought = end >= 0 || last ? held.slice(0, keep).replace(/\n+$/, "") : held.slice(0, keep)
        out.thinking += thought
        if (thought !== "") isFresh = false
        held = held.slice(keep)
        if (end < 0) return out
        held = held.slice(close.length)
        state = "after"
      } else {
        if (state === "after") held = held.replace(/^\n+/, "")
        if (held === "") return out
        state = "answering"
        out.text += held
        held = ""
        return out
      }
    }
  }
  return {
    push(text) {
      held += text
      return take(false)
    },
    flush: () => take(true),
  }
}

/** How much of a thought cannot be a part of its end. */
function certain(text: string): number {
  const tail = /\n*(<(\/(t(h(i(n(k>?)?)?)?)?)?)?)?$/.exec(text)
  return tail === null ? text.length : tail.index
}
