/** What this page keeps of a person's choices, all of it under one beginning: whether there is any, and the end of it. */
const beginning = 'manyhands-'

const names = (): string[] => {
  try {
    return Object.keys(localStorage).filter((name) => name.startsWith(beginning))
  } catch {
    // Without storage nothing is kept.
    return []
  }
}

export const settingsKept = (): boolean => names().length > 0

export function forgetSettings(): void {
  for (const name of names()) localStorage.removeItem(name)
}
