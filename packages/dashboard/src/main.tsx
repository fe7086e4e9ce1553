import { createClient } from '@freehold/client'
import { QueryClientProvider } from '@tanstack/react-query'
import { RouterProvider } from '@tanstack/react-router'
import { StrictMode } from 'react'
import { createRoot } from 'react-dom/client'
import { createCache } from './app/cache.ts'
import { ClientProvider } from './app/client.tsx'
import { createDashboardRouter } from './router.tsx'
import './styles.css'

const client = createClient({ url: location.origin, reconnect: { maxMs: 8_000 } })
const cache = createCache()
const router = createDashboardRouter()
const root = document.getElementById('root')
if (root === null) throw new Error('The page has no #root.')

createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={cache}>
      <ClientProvider client={client}>
        <RouterProvider router={router} />
      </ClientProvider>
    </QueryClientProvider>
  </StrictMode>,
)
