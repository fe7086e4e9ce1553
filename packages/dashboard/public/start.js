// Runs before everything else, as a file of its own because the content security policy refuses inline scripts.

// The schemas of the contract would try whether code may be made from text, which the policy refuses and reports.
globalThis.__zod_globalConfig = { jitless: true }

// A chosen theme never flashes, because it is set before the page is drawn. The theme menu writes this key.
try {
  const theme = localStorage.getItem('freehold.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {
  // Storage may be switched off; then the system's preference decides.
}
