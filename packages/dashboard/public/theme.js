// Runs before the page is drawn, so that a chosen theme never flashes. The dashboard's theme toggle writes this key.
try {
  const theme = localStorage.getItem('freehold.theme')
  if (theme === 'light' || theme === 'dark') document.documentElement.dataset.theme = theme
} catch {
  // Storage may be switched off; then the system's preference decides.
}
