import "./app.js"

window.start()
