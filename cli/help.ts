/**
 * What `weft --help` and `weft COMMAND --help` print, and what a word that is no command is told.
 *
 *     weft benhc     →   there is no command 'benhc'; did you mean 'bench'?
 */
import { type CommandName, type CommandTable, commandNames, commands } from "./commands.js"

const indent = 30

/** All commands, and the flags of the one that needs no name. */
export function overview(): string {
  const lines = commandNames.map((name) => {
    const { words, about } = commands[name]
    const shown = name === "generate" ? "[generate]" : name
    return line(`  weft ${shown} ${words}`, about)
  })
  return `weft: runs language models through kernels that it compiles from their TypeScript definitions

${lines.join("")}
  weft COMMAND --help         the flags of a command
  weft --version              the version of the package

generate:
${flagLines(commands.generate)}`
}

/** One command. */
export function commandHelp(name: CommandName): string {
  const { words, about } = commands[name]
  return `weft ${name}${words === "" ? "" : ` ${words}`}: ${about}\n\n${flagLines(commands[name])}`
}

const flagLines = ({ flags }: CommandTable): string =>
  Object.entries(flags)
    .map(([flag, [value, about]]) => line(`  --${flag}${value === "" ? "" : ` ${value}`}`, about))
    .join("")

function line(left: string, about: string): string {
  const [first, ...rest] = about.split("\n")
  const head = left.length < indent - 1 ? `${left.padEnd(indent)}${first}` : `${left}\n${" ".repeat(indent)}${first}`
  return [head, ...rest.map((more) => `${" ".repeat(indent)}${more}`)].map((text) => `${text.trimEnd()}\n`).join("")
}

/** The command that a single word was probably meant to be; undefined for what reads like a prompt. */
export function meantCommand(word: string): string | undefined {
  if (!/^[A-Za-z]+$/.test(word)) return undefined
  const lower = word.toLowerCase()
  const near = [...commandNames, "help", "version"].map((name) => ({ name, distance: edits(lower, name) }))
  const [best] = near.sort((a, b) => a.distance - b.distance)
  return best!.distance <= (best!.name.length <= 4 ? 1 : 2) ? best!.name : undefined
}

/** Letters to insert, remove, replace or exchange with their neighbour (Damerau 1964, optimal alignment). */
function edits(a: string, b: string): number {
  const rows: number[][] = [Array.from({ length: b.length + 1 }, (_, j) => j)]
  for (let i = 1; i <= a.length; i++) {
    const row = [i]
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1
      row[j] = Math.min(rows[i - 1]![j]! + 1, row[j - 1]! + 1, rows[i - 1]![j - 1]! + same)
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j]!, rows[i - 2]![j - 2]! + 1)
    }
    rows.push(row)
  }
  return rows[a.length]![b.length]!
}
