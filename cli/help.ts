/**
 * What `weft --help` and `weft COMMAND --help` print, and what a word that is no command is told.
 *
 *     weft benhc     →   there is no command 'benhc'; did you mean 'bench'?
 */
import { type CommandName, type CommandTable, commandNames, commands } from "./commands.js"
import { nearest } from "./nearest.js"

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
export const meantCommand = (word: string): string | undefined =>
  /^[A-Za-z]+$/.test(word) ? nearest(word, [...commandNames, "help", "version"]) : undefined
