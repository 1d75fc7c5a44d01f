//! The program; all of it is in the library, where benchmarks reach it.

fn main() -> anyhow::Result<()> {
    cafe_controller::main()
}
