/**
 * Helper functions that the printed text calls, each emitted once, only when it is used, and after those that it calls.
 *
 *   library.use("floorDivide", 4)   → "floorDivide4"
 */
export interface Helper {
  readonly name: string
  readonly text: string
  /** Stems of the functions that it calls. */
  readonly needs?: readonly string[]
}

export interface Library {
  /** The name to call; asks for the text. */
  use(stem: string, width?: number): string
  text(): readonly string[]
}

export function createLibrary(find: (stem: string, width: number) => Helper): Library {
  const used = new Map<string, string>()
  const use = (stem: string, width = 1): string => {
    const { name, text, needs = [] } = find(stem, width)
    for (const other of needs) use(other)
    used.set(name, text)
    return name
  }
  return { use, text: () => [...used.values()] }
}
