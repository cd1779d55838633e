/**
 * Names of the program as identifiers: odd characters become `_`, reserved words get a trailing `_`, and two names in scope
 * never share a spelling.
 *
 *   w.layers.0.q   → w_layers_0_q
 *   loop           → loop_
 *   w_q, then w.q  → w_q, w_q_2
 */
export interface Names {
  /** Binds a name in the innermost scope and returns its spelling; the spelling of a `global` one stays taken when the scope ends. */
  declare(name: string, global?: boolean): string
  /** The spelling of a bound name, else undefined. */
  find(name: string): string | undefined
  /** A spelling that no name has. */
  fresh(stem: string): string
  scoped<T>(body: () => T): T
}

export function createNames(reserved: ReadonlySet<string>): Names {
  const scopes: Map<string, string>[] = [new Map()]
  const globals = new Set<string>()
  const taken = new Set<string>()
  const spell = (name: string): string => {
    const plain = name.replace(/[^A-Za-z0-9_]/g, "_").replace(/^_+(?=.)|^_+$/, "")
    const word = /^[0-9]/.test(plain) || plain === "" ? `v${plain}` : plain
    const stem = reserved.has(word) ? `${word}_` : word
    let spelled = stem
    for (let n = 2; taken.has(spelled); n++) spelled = `${stem}_${n}`
    taken.add(spelled)
    return spelled
  }
  return {
    declare(name, global = false) {
      const spelled = spell(name)
      if (global) globals.add(spelled)
      scopes.at(-1)!.set(name, spelled)
      return spelled
    },
    find(name) {
      for (let i = scopes.length - 1; i >= 0; i--) {
        const found = scopes[i]!.get(name)
        if (found !== undefined) return found
      }
      return undefined
    },
    fresh: spell,
    scoped(body) {
      scopes.push(new Map())
      try {
        return body()
      } finally {
        for (const spelled of scopes.pop()!.values()) if (!globals.has(spelled)) taken.delete(spelled)
      }
    },
  }
}
